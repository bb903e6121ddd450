import signal
from types import SimpleNamespace

from textgenome.training.resuming import last_checkpoint, train_or_resume


def test_a_checkpoint_whose_state_was_cut_off_is_passed_over(tmp_path):
    for step, state in {9: '{"global_step": 9}', 10: '{"global_', 11: ""}.items():
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")


def test_a_signal_behind_the_last_step_waits_until_the_model_is_saved(tmp_path):
    """One process may have it and the others not: who left now would leave them alone in the saving of the model."""
    course = []

    def train(resume_from_checkpoint):
        signal.raise_signal(signal.SIGTERM)
        course.append("trained")

    trainer = SimpleNamespace(
        add_callback=lambda callback: None,
        args=SimpleNamespace(output_dir=tmp_path, resume_from_checkpoint=None),
        state=SimpleNamespace(global_step=1),
        train=train,
        save_model=lambda: course.append("saved"),
    )
    handler = signal.signal(signal.SIGTERM, lambda *_: course.append("ended"))
    try:
        train_or_resume(trainer)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert course == ["trained", "saved", "ended"]

"""What genotypes alone tell of expression: regressions on the sites near a gene, fitted gene by gene."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNetCV

from textgenome.genome.progress import Progress


ALPHAS, FOLDS, L1_RATIO = 12, 5, 0.5
RAREST = 0.01  # frequency of the rarer allele among training people


def predict_from_sites(
    dosages: Callable[[int], np.ndarray],
    values: np.ndarray,
    genes: Sequence[int],
    trained: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    description: str,
) -> np.ndarray:
    """Fit a regression for each gene to training people, and predict all people.

    Args:
        dosages: Gives for the number of a gene how many copies of each allele people have, `(sites, people)`.
        values: `(genes, people)`, what is learnt.
        genes: Numbers of the genes.
        trained: `(people,)`, bool.
        fit: `elastic_net` or `best_site`.
        description: Of the progress bar.

    Returns:
        `(genes, people)`, NaN for genes that are not among `genes`.
    """
    found = np.full(values.shape, np.nan)
    for gene in Progress(genes, desc=description, unit="gene"):
        learnt = trained & np.isfinite(values[gene])
        mean = values[gene, learnt].mean()
        sites = dosages(gene).astype(float)
        frequency = sites[:, learnt].mean(1) / 2 if len(sites) else np.zeros(0)
        common = np.minimum(frequency, 1 - frequency) >= RAREST
        found[gene] = mean
        if common.any():
            features = sites[common].T
            features -= features[learnt].mean(0)
            features /= np.maximum(features[learnt].std(0), 1e-9)
            found[gene] = fit(features[learnt], values[gene, learnt], features)
    return found


def elastic_net(features: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Elastic net whose strength is chosen by cross-validation within the training people."""
    model = ElasticNetCV(l1_ratio=L1_RATIO, alphas=ALPHAS, cv=FOLDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, values).predict(asked)


def best_site(features: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Linear regression on the site that is correlated most with the values of the training people."""
    products = features.T @ (values - values.mean()) / len(values)
    best = np.abs(products).argmax()
    return values.mean() + products[best] * asked[:, best]


__all__ = ["best_site", "elastic_net", "predict_from_sites"]

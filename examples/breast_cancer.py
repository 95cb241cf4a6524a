"""Logistic regression of malignancy on 30 strongly collinear measurements of cell nuclei.

The table is scikit-learn's copy of the Wisconsin diagnostic data (569 × 30), columns standardised.
"""

import numpyro
import numpyro.distributions as dist


def model(X, y):
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
    coefficients = numpyro.sample("coefficients", dist.Normal(0.0, 2.0).expand([X.shape[1]]).to_event(1))
    numpyro.sample("malignant", dist.Bernoulli(logits=intercept + X @ coefficients), obs=y)


def data():
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    return {"X": (table.data - table.data.mean(0)) / table.data.std(0), "y": 1 - table.target}

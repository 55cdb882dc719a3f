"""Networks as users would build them, on real data: medians over five random splits.

Settings were chosen on other splits than those tested here: 100 to 109 (digits), 100 to 159
(breast cancer), 100 to 199 (diabetes), by how often the median of five would reach the target.
"""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import deltaprop as dp
from deltaprop import nn, optim

SPLITS = range(5)


def digits(split):
    """Return the held-out accuracy of a network with a residual block."""

    def block(width):
        linear = nn.Linear(width, 128, init="kaiming_uniform")
        return linear, nn.BatchNorm1d(128), nn.GELU(), nn.Dropout(0.1)

    X, y = load_digits(return_X_y=True)
    X = X / 16 - 0.5
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split, stratify=y)
    net = nn.Sequential(
        *block(64),
        nn.Residual(*block(128)),
        nn.Linear(128, 10),
        seed=split,
    )
    optimizer = optim.AdamW(net.parameters(), weight_decay=0.01, clip_norm=5.0)
    optim.OneCycleLR(optimizer, max_lr=5e-3, epochs=40, steps_per_epoch=-(-len(X) // 32))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    net.fit(X, y, loss=loss, optimizer=optimizer, epochs=40)
    return net.evaluate(X_test, y_test, loss=loss, metrics=["accuracy"])["accuracy"]


def breast_cancer(split):
    """Return the held-out accuracy of a network beside a linear model, stopped early."""
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split, stratify=y)
    net = nn.Sequential(
        nn.Standardize(30),
        nn.Dropout(0.1),
        nn.Concat(nn.Identity(), nn.Sequential(nn.Linear(30, 16), nn.GELU(), nn.Dropout(0.2))),
        nn.Linear(46, 2),
        seed=split,
    )
    optimizer = optim.AdamW(net.parameters(), lr=3e-3, weight_decay=3.0)
    optim.CosineAnnealingLR(optimizer, T_max=60)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    stopping = dp.EarlyStopping(patience=20)
    history = net.fit(
        X,
        y,
        loss=loss,
        optimizer=optimizer,
        epochs=60,
        validation_split=0.1,
        class_weight="balanced",
        metrics=["auc"],
        callbacks=[stopping],
    )
    # The network is that of its best epoch.
    assert history["val_loss"].argmin() == stopping.best_epoch
    assert history["val_auc"][stopping.best_epoch] > 0.9
    result = net.evaluate(X_test, y_test, loss=loss, metrics=["accuracy"])
    return result["accuracy"]


def diabetes(split):
    """Return by how much the R2 of five networks together is above that of each linear model."""
    X, y = load_diabetes(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=split)
    mean, spread = y.mean(), y.std()
    outputs = []
    for seed in range(5):
        net = nn.Sequential(
            nn.Standardize(10),
            nn.Concat(nn.Identity(), nn.Sequential(nn.Linear(10, 16), nn.ReLU())),
            nn.Linear(26, 1),
            seed=seed,
        )
        optimizer = optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.3, l1=0.01)
        optim.CosineAnnealingLR(optimizer, T_max=100)
        target = (y - mean) / spread
        net.fit(X, target, loss=nn.MSELoss(), optimizer=optimizer, epochs=100)
        outputs.append(net(X_test))
    r2 = r2_score(y_test, mean + spread * np.mean(outputs, axis=0))
    linear = [
        Ridge(),
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 26))),
    ]
    return [r2 - model.fit(X, y).score(X_test, y_test) for model in linear]


@pytest.mark.parametrize(("run", "least"), [(digits, 0.98), (breast_cancer, 0.97), (diabetes, 0.0)])
def test_median_over_five_splits(run, least):
    assert (np.median([run(split) for split in SPLITS], axis=0) >= least).all()

"""Optuna proposes parameters, and gives up trials that fall behind."""

from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skclr import CLRLeNetClassifier


def test_a_study_proposes_schedules_and_rates(two_classes, program):
    optuna = program("optuna")
    X, y = two_classes

    def objective(trial):
        clf = CLRLeNetClassifier(
            schedule=trial.suggest_categorical("schedule", ["triangular", "one_cycle"]),
            max_lr=trial.suggest_float("max_lr", 0.01, 0.3, log=True),
            batch_size=trial.suggest_int("batch_size", 8, 16, step=8),
            max_epochs=1,
            random_state=0,
        )
        return cross_val_score(clf, X, y, cv=2).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=3)
    assert study.best_value > 0.9
    best = CLRLeNetClassifier(max_epochs=1, random_state=0, **study.best_params)
    assert cross_val_score(best, X, y, cv=2).mean() == study.best_value


def test_a_trial_that_falls_behind_is_pruned_between_calls_of_partial_fit(two_classes, program):
    optuna = program("optuna")
    X, y = two_classes
    clf = CLRLeNetClassifier(batch_size=16, max_epochs=1, schedule="constant", random_state=0)

    def objective(trial):
        own = clone(clf).set_params(max_lr=trial.suggest_categorical("max_lr", [0.1, 1e-9]))
        for step in range(2):
            own.partial_fit(X[:30], y[:30])
            trial.report(own.score(X[30:], y[30:]), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return own.score(X[30:], y[30:])

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.GridSampler({"max_lr": [0.1, 1e-9]}, seed=0),
        pruner=optuna.pruners.ThresholdPruner(lower=0.8),
    )
    study.optimize(objective, n_trials=2)
    pruned = {trial.params["max_lr"]: trial.state.name for trial in study.trials}
    assert pruned == {0.1: "COMPLETE", 1e-9: "PRUNED"}

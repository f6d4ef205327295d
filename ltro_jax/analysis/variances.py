"""The advantage variances that reports and studies compare; `FactorStatistics` defines both."""

VARIANCES = {  # kind → metric
    "raw": "adv_variance_raw",  # Var(R·A)
    "used": "adv_variance_used",  # Var(w·A), w the weight of the update
}

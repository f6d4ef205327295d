"""The controlled measurement: fixed policies, fresh actions, exact moments of the factor."""

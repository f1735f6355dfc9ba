package telemetry

// Metrics of the day's budget of requests.
const (
	WebAPIBudgetLimit   = "cebridge.webapi.budget.limit"   // requests that may be made in a day
	WebAPIBudgetUsed    = "cebridge.webapi.budget.used"    // requests made today, by direction
	WebAPIBudgetStretch = "cebridge.webapi.budget.stretch" // factor by which polls are further apart than wanted
)

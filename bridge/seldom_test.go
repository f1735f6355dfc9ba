package bridge

import "time"

// Seldom is an interval of polls of an organization's only table, in the form of a
// configuration, with which no poll comes by itself for at least an hour: polls lie on a
// grid on the clock of the day, so that the next place of an interval may be a moment
// away, however wide it is.
func Seldom(org string) string {
	phase := phases(org, []TableConfig{{Table: "any"}})["any"]
	now := time.Now().UnixNano()
	var best, left time.Duration
	for hours := time.Duration(2); hours <= 24; hours++ {
		width := hours * time.Hour
		past := (now - int64(phase*float64(width))) % int64(width)
		if rest := width - time.Duration(past); rest > left {
			best, left = width, rest
		}
	}
	return best.String()
}

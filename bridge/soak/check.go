package soak

import "fmt"

// Violation is one broken rule.
type Violation struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// Check holds the histories against each other and returns every violation.
func Check(h *History) []Violation {
	c := &checker{h: h, found: []Violation{}}
	c.outbound()
	c.inbound()
	return c.found
}

type checker struct {
	h     *History
	found []Violation
}

func (c *checker) fail(rule, format string, args ...any) {
	c.found = append(c.found, Violation{rule, fmt.Sprintf(format, args...)})
}

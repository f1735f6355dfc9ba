package inbound

// Headers of a message that is a dead letter sent again. Whoever sends it sets
// them; the engine copies them into the next letter with all other headers.
const (
	// HeaderRetryOf names the letter: <route>/<incarnation>/<sequence>.
	HeaderRetryOf = "Crm-Retry-Of"
	// HeaderRetryCount is how often the message was sent again, this time included.
	HeaderRetryCount = "Crm-Retry-Count"
	// HeaderRetryRoute is the only route the message is meant for; to every other
	// one that reads the same subject it is unmatched.
	HeaderRetryRoute = "Crm-Retry-Route"
	// HeaderRetryEdited is "1" when a person changed the data.
	HeaderRetryEdited = "Crm-Retry-Edited"
)

// foreignRetry tells whether the message is another route's dead letter, sent again.
func (r *Route) foreignRetry(m *Message) bool {
	v := m.Header[HeaderRetryRoute]
	return len(v) > 0 && v[0] != r.cfg.Name
}

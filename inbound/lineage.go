package inbound

import (
	"strconv"
	"strings"
)

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

// RetryOf is the value of HeaderRetryOf for a letter of that message.
func RetryOf(route string, m *Message) string {
	return route + "/" + m.Incarnation + "/" + strconv.FormatUint(m.Sequence, 10)
}

// retries tells whether the message is the dead letter of that one, sent again.
func (m *Message) retries(id messageID) bool {
	v := m.Header[HeaderRetryOf]
	return len(v) > 0 && strings.HasSuffix(v[0], "/"+id.incarnation+"/"+strconv.FormatUint(id.sequence, 10))
}

// isRetry tells whether the message is any dead letter sent again.
func (m *Message) isRetry() bool { return len(m.Header[HeaderRetryOf]) > 0 }

func (a Applied) id() messageID { return messageID{a.Incarnation, a.Sequence} }

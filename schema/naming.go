package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// Names builds every subject of one organization. Prefix is "crm" unless
// configured; Org is the short name of the organization.
type Names struct {
	Prefix string
	Org    string
}

// ValidToken tells whether s may stand as one token of a subject that the bridge
// builds: 1 to 64 letters, digits, '_' or '-'.
func ValidToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return false
		}
	}
	return true
}

// Validate reports a prefix or organization that cannot be a subject token.
func (n Names) Validate() error {
	if !ValidToken(n.Prefix) {
		return fmt.Errorf("subject prefix %q: use 1 to 64 letters, digits, '_' or '-'", n.Prefix)
	}
	for _, own := range []string{"-state", "-notice", "-dead", "-parked", "-ring", "-control"} {
		if strings.HasSuffix(n.Prefix, own) {
			return fmt.Errorf("subject prefix %q: the bridge's own subjects end in %s, choose another", n.Prefix, own)
		}
	}
	if !ValidToken(n.Org) {
		return fmt.Errorf("organization name %q: use 1 to 64 letters, digits, '_' or '-'", n.Org)
	}
	return nil
}

// Record is the subject of one record's changes. The id is a lower-case GUID.
func (n Names) Record(table, id string) string {
	return n.Prefix + "." + n.Org + "." + table + "." + id
}

// Table matches all record subjects of a table.
func (n Names) Table(table string) string { return n.Record(table, "*") }

// RecordID is the inverse of Record for subjects of that table; false for others.
func (n Names) RecordID(table, subject string) (string, bool) {
	id, ok := strings.CutPrefix(subject, n.Record(table, ""))
	return id, ok && id != "" && !strings.Contains(id, ".")
}

// Checkpoint is the subject that holds a table's cursor.
func (n Names) Checkpoint(table string) string {
	return n.Prefix + "-state." + n.Org + ".checkpoint." + table
}

// Owner is the subject of a table's lease.
func (n Names) Owner(table string) string { return n.Prefix + "-state." + n.Org + ".owner." + table }

// Revision is the subject of what a route applied last to a key, which is named by
// its hash.
func (n Names) Revision(route, keyHash string) string {
	return n.Prefix + "-state." + n.Org + ".revision." + route + "." + keyHash
}

// Echo is the subject of what is remembered, for a time, of the bridge's own last
// write to a record.
func (n Names) Echo(table, id string) string {
	return n.Prefix + "-state." + n.Org + ".echo." + table + "." + id
}

// Dropped is the subject of the mark that a record's last changes were dropped as the
// bridge's own; with "*" it matches those of a table.
func (n Names) Dropped(table, id string) string {
	return n.Prefix + "-state." + n.Org + ".dropped." + table + "." + id
}

// Budget is the subject of what was used of the day's requests.
func (n Names) Budget() string { return n.Prefix + "-state." + n.Org + ".budget" }

// Notice is the subject of the bridge's own notices about a table.
func (n Names) Notice(table string) string { return n.Prefix + "-notice." + n.Org + "." + table }

// Ring is the plain NATS subject on which anybody may ask for a poll of a table
// now. No stream takes it.
func (n Names) Ring(table string) string { return n.Prefix + "-ring." + n.Org + "." + table }

// Control is the plain NATS subject on which a running bridge is asked to do
// something with a table: pause, resume or resync; or to resume a route.
func (n Names) Control(action, table string) string {
	return n.Prefix + "-control." + n.Org + "." + action + "." + table
}

// Dead is the subject of one dead letter: a message of the source stream is
// named by the stream's incarnation and its sequence there.
func (n Names) Dead(route, incarnation string, seq uint64) string {
	return n.Prefix + "-dead." + n.Org + "." + route + "." + incarnation + "." + strconv.FormatUint(seq, 10)
}

// DeadLetters matches the dead letters of a route, or of all with "*".
func (n Names) DeadLetters(route string) string {
	return n.Prefix + "-dead." + n.Org + "." + route + ".*.*"
}

// Retried is the subject of the mark that a dead letter was sent again.
func (n Names) Retried(route, incarnation string, seq uint64) string {
	return n.Dead(route, incarnation, seq) + ".retried"
}

// Parked matches or names parked messages of a route.
func (n Names) Parked(route, key string) string {
	return n.Prefix + "-parked." + n.Org + "." + route + "." + key
}

// ParkedMessage is the subject of one parked message: its key by its hash, and its
// place in the source stream.
func (n Names) ParkedMessage(route, keyHash, incarnation string, seq uint64) string {
	return n.Parked(route, keyHash) + "." + incarnation + "." + strconv.FormatUint(seq, 10)
}

// EventStream is the default name of the stream that holds records, checkpoints and notices.
func (n Names) EventStream() string { return strings.ToUpper(n.Prefix) + "_" + strings.ToUpper(n.Org) }

// EventSubjects are the subjects of the event stream.
func (n Names) EventSubjects() []string {
	return []string{
		n.Prefix + "." + n.Org + ".>",
		n.Prefix + "-state." + n.Org + ".>",
		n.Prefix + "-notice." + n.Org + ".>",
	}
}

// DeadStream is the default name of the stream of dead letters and parked messages.
func (n Names) DeadStream() string { return n.EventStream() + "_DEAD" }

// DeadSubjects are the subjects of the dead-letter stream.
func (n Names) DeadSubjects() []string {
	return []string{n.Prefix + "-dead." + n.Org + ".>", n.Prefix + "-parked." + n.Org + ".>"}
}

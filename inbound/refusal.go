package inbound

import (
	"log/slog"

	"cebridge/schema/outcome"
)

// unmapped tells whether a message was refused before a write came of it. The Op of such
// an error is the place of the mapping, the rest holds nothing of the event
// (mapping.Program).
func unmapped(e *entry, err *outcome.Error) bool { return len(e.writes) == 0 && err.Op != "" }

// letterText says in a dead letter why the message was refused. An expression's own error
// is of no use without the expression.
func letterText(e *entry, err *outcome.Error) string {
	switch {
	case err.Message == "" && err.Err != nil:
		return err.Err.Error()
	case unmapped(e, err):
		return err.Op + ": " + err.Message
	}
	return err.Message
}

// logReason is what a log line says of a refusal: of a mapping its place and text, of
// anything else no text, which could hold what the record holds.
func logReason(e *entry, err *outcome.Error) slog.Attr {
	if unmapped(e, err) && err.Message != "" {
		return slog.String("error", brief(err)+": "+letterText(e, err))
	}
	return slog.String("error", brief(err))
}

package mapping

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"cebridge/schema/outcome"
)

// maxRevisionText bounds a revision that is a text, in bytes.
const maxRevisionText = 256

var digits = regexp.MustCompile(`^[0-9]{1,19}$`)

// Revision returns the event's revision in a form that sorts as text in the
// order of revisions: whole numbers by value, also when they are texts of digits,
// times by instant, other texts byte by byte. It is "" when the mapping has no revision or yields null or omit().
// Forms of different kinds do not compare, so a mapping should stay with one.
// Errors are as for Map.
func (p *Program) Revision(ctx context.Context, e *cloudevent.Event) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if p.revision == nil {
		return "", nil
	}
	x, err := p.revision.eval(ctx, &view{event: e})
	if err != nil {
		return "", err
	}
	form, problem := sortable(x)
	if problem != "" {
		return "", reject(p.revision.place, outcome.Invalid, problem)
	}
	return form, nil
}

func sortable(x value) (form, problem string) {
	switch x.kind {
	case isNull, isOmitted:
		return "", ""
	case isTime:
		return sortableTime(x.at), ""
	case isNumber:
		d, ok := parseDecimal(x.text)
		if !ok || d.negative {
			return "", "a revision that is a number must be whole and not negative"
		}
		text, ok := d.integer()
		if !ok {
			return "", "a revision that is a number must be whole, of at most 19 digits"
		}
		return "n" + strings.Repeat("0", 19-len(text)) + text, ""
	case isText:
		if digits.MatchString(x.text) {
			return sortable(value{kind: isNumber, text: x.text})
		}
		if t, err := time.Parse(time.RFC3339Nano, x.text); err == nil {
			return sortableTime(t), ""
		}
		if x.text == "" || len(x.text) > maxRevisionText {
			return "", fmt.Sprintf("a revision that is a text has 1 to %d bytes", maxRevisionText)
		}
		return "s" + x.text, ""
	}
	return "", "a revision is a whole number, a time or a text, not " + x.describe()
}

func sortableTime(t time.Time) string {
	return "t" + t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

package sim

import (
	"net/http"
	"strings"
	"time"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
)

// The forms of dates in answers: seconds precision, UTC (assumption: fractions
// are cut off), and a bare date for columns of that behavior.
const (
	dateTimeForm = "2006-01-02T15:04:05Z"
	dateForm     = "2006-01-02"
)

// earliest is the first instant a date column can hold.
var earliest = time.Date(1753, 1, 1, 0, 0, 0, 0, time.UTC)

// encodeDate takes a bare date for DateOnly columns, else a date and time with
// an offset; one without an offset is UTC.
func encodeDate(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	text, ok := textOf(raw)
	if !ok {
		return "", wrongType(c, raw, edmDate(c))
	}
	if c.Behavior == schema.BehaviorDateOnly {
		t, err := time.Parse(dateForm, text)
		if err != nil {
			return "", wrongType(c, raw, edmDate(c))
		}
		return dateCell(c, t, dateForm)
	}
	t, err := parseDateTime(text)
	if err != nil {
		return "", wrongType(c, raw, edmDate(c))
	}
	return dateCell(c, t, dateTimeForm)
}

func dateCell(c *schema.Column, t time.Time, form string) (string, *apiError) {
	t = t.UTC()
	if t.Before(earliest) || t.Year() > 9999 {
		return "", &apiError{
			Status: http.StatusBadRequest, Code: codeInvalidArgument,
			Message: "DateTime is less than minimum value supported by CrmDateTime. Actual value: " + t.Format("01/02/2006 15:04:05") + ", Minimum value supported: 01/01/1753 00:00:00. Column: " + c.LogicalName,
		}
	}
	return `"` + t.Format(form) + `"`, nil
}

func parseDateTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.Parse("2006-01-02T15:04:05.999999999", text); err == nil {
		return t, nil
	}
	if t, err := time.Parse("2006-01-02T15:04Z07:00", text); err == nil {
		return t, nil
	}
	return time.Parse(dateForm, strings.TrimSpace(text))
}

func edmDate(c *schema.Column) string {
	if c.Behavior == schema.BehaviorDateOnly {
		return "Edm.Date"
	}
	return "Edm.DateTimeOffset"
}

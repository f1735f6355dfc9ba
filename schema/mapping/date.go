package mapping

import (
	"regexp"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const dateLayout = "2006-01-02"

var (
	dateForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)
	noZone   = regexp.MustCompile(`^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$`)
)

// isoDate implements the function isoDate: the date as written, in no other zone.
func isoDate(v ref.Val) ref.Val {
	switch x := v.(type) {
	case types.Timestamp:
		return types.String(x.UTC().Format(dateLayout))
	case types.String:
		if date, ok := dateIn(string(x)); ok {
			return types.String(date)
		}
	}
	return failed("isoDate() takes yyyy-MM-dd, yyyyMMdd or a time that begins with yyyy-MM-ddT")
}

func dateIn(s string) (string, bool) {
	if len(s) == 8 {
		t, err := time.Parse("20060102", s)
		return t.Format(dateLayout), err == nil
	}
	if !dateForm.MatchString(s) && !timeForm.MatchString(s) && !noZone.MatchString(s) {
		return "", false
	}
	_, err := time.Parse(dateLayout, s[:10])
	return s[:10], err == nil
}

// earliestYear is the first year a date column can hold. Source: Microsoft
// Learn, DateTimeAttributeMetadata.MinSupportedValue.
const earliestYear = 1753

// dateText writes a value for a date column without time, or says what is wrong.
func dateText(v value) (text, problem string) {
	switch {
	case v.kind == isTime:
		text = v.at.UTC().Format(dateLayout)
	case v.kind != isText:
		return "", "takes a date, not " + v.describe()
	case !dateForm.MatchString(v.text):
		return "", "takes a date as yyyy-MM-dd: use isoDate()"
	default:
		text = v.text
	}
	t, err := time.Parse(dateLayout, text)
	return text, rangeProblem(t, err)
}

// timestampText writes a value for a date column with time. A text keeps its
// own zone; a time of an expression is written in UTC with whole seconds, the
// precision of the column (assumption).
func timestampText(v value) (text, problem string) {
	switch {
	case v.kind == isTime:
		text = v.at.UTC().Format("2006-01-02T15:04:05Z")
	case v.kind != isText:
		return "", "takes a time, not " + v.describe()
	case dateForm.MatchString(v.text):
		return "", "takes a time, not only a date: append \"T00:00:00Z\" if midnight UTC is meant"
	case noZone.MatchString(v.text):
		return "", "takes a time with a zone: append \"Z\" if UTC is meant"
	case !timeForm.MatchString(v.text):
		return "", "takes a time as yyyy-MM-ddTHH:mm:ssZ"
	default:
		text = v.text
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	return text, rangeProblem(t, err)
}

func rangeProblem(t time.Time, err error) string {
	switch {
	case err != nil:
		return "takes a date and time that exist"
	case t.UTC().Year() < earliestYear || t.UTC().Year() > 9999:
		return "takes dates from 1753-01-01 on"
	}
	return ""
}

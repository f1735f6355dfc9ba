package sim

import (
	"strconv"
	"strings"
	"time"

	"cebridge/schema"
)

const (
	noteFormatted  = "OData.Community.Display.V1.FormattedValue"
	noteTable      = "Microsoft.Dynamics.CRM.lookuplogicalname"
	noteNavigation = "Microsoft.Dynamics.CRM.associatednavigationproperty"
)

// annotator adds the annotations a caller asked for, each before its property.
// Formatted values are those of an English user. It reads other tables: use it
// under the server's lock.
type annotator struct {
	s                            *Server
	formatted, table, navigation bool
}

func (s *Server) newAnnotator(p prefs) *annotator {
	a := &annotator{s: s, formatted: p.annotates(noteFormatted), table: p.annotates(noteTable), navigation: p.annotates(noteNavigation)}
	if !a.formatted && !a.table && !a.navigation {
		return nil
	}
	return a
}

func (a *annotator) annotate(b []byte, d *tableDef, i int, cell, lit string) []byte {
	c := &d.Columns[i]
	add := func(name, value string) {
		b = append(b, jsonText(c.ReadName()+"@"+name)...)
		b = append(b, ':')
		b = append(b, jsonText(value)...)
		b = append(b, ',')
	}
	if c.IsLookup() {
		target, id, ok := lookupTarget(c, cell)
		if !ok {
			return b
		}
		if a.navigation {
			add(noteNavigation, d.navigationName(i, target))
		}
		if a.table {
			add(noteTable, target)
		}
		if text := a.nameOf(target, id); a.formatted && text != "" {
			add(noteFormatted, text)
		}
		return b
	}
	if text, ok := formatValue(c, lit); ok && a.formatted {
		add(noteFormatted, text)
	}
	return b
}

// nameOf is the primary name of a record.
func (a *annotator) nameOf(table string, id [16]byte) string {
	t := a.s.catalogNow().byName[table]
	if t == nil {
		return ""
	}
	d := t.def.Load()
	r, i := t.rows[id], d.column(d.PrimaryName)
	if r == nil || i < 0 {
		return ""
	}
	text, _ := textOf([]byte(r.unpack(d, nil)[i]))
	return text
}

// formatValue is the text a person sees; false for columns that have none.
func formatValue(c *schema.Column, lit string) (string, bool) {
	switch c.Type {
	case schema.TypePicklist, schema.TypeState, schema.TypeStatus:
		n, _ := strconv.ParseInt(lit, 10, 64)
		return optionLabel(c, n)
	case schema.TypeBoolean:
		value, fallback := int64(0), "No"
		if lit == "true" {
			value, fallback = 1, "Yes"
		}
		if text, ok := optionLabel(c, value); ok {
			return text, true
		}
		return fallback, true
	case schema.TypeMultiSelect:
		text, _ := textOf([]byte(lit))
		var labels []string
		for part := range strings.SplitSeq(text, ",") {
			n, _ := strconv.ParseInt(part, 10, 64)
			label, _ := optionLabel(c, n)
			labels = append(labels, label)
		}
		return strings.Join(labels, "; "), true
	case schema.TypeInteger, schema.TypeBigInt:
		return groupDigits(lit), true
	case schema.TypeDecimal, schema.TypeDouble:
		return fixedNumber(lit, c.Precision), true
	case schema.TypeMoney:
		text := fixedNumber(lit, c.Precision)
		if rest, negative := strings.CutPrefix(text, "-"); negative {
			return "-$" + rest, true
		}
		return "$" + text, true
	case schema.TypeDateTime:
		return formatDate(c, lit)
	}
	return "", false
}

func optionLabel(c *schema.Column, value int64) (string, bool) {
	for _, o := range c.Options {
		if o.Value == value {
			return o.Label, true
		}
	}
	return "", false
}

func formatDate(c *schema.Column, lit string) (string, bool) {
	form, out := dateTimeForm, "1/2/2006 3:04 PM"
	if c.Behavior == schema.BehaviorDateOnly {
		form, out = dateForm, "1/2/2006"
	}
	t, err := time.Parse(form, strings.Trim(lit, `"`))
	return t.Format(out), err == nil
}

func fixedNumber(lit string, precision int) string {
	f, err := strconv.ParseFloat(lit, 64)
	if err != nil {
		return lit
	}
	return groupDigits(strconv.FormatFloat(f, 'f', precision, 64))
}

// groupDigits writes 1234567.5 as 1,234,567.5.
func groupDigits(s string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		sign, s = "-", rest
	}
	whole, fraction, point := strings.Cut(s, ".")
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if point {
		b.WriteString("." + fraction)
	}
	return sign + b.String()
}

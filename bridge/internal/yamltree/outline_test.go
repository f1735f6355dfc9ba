package yamltree

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a reader with all the ways to ask.
func sample(d *Doc) {
	m := d.Root
	if m.String("name", "") == "" {
		m.Note("name", "required: a name")
	}
	m.Choice("mode", "fast", "fast", "slow")
	if !m.Has("server") {
		m.Note("server", "required")
	} else if m.IsText("server") {
		m.Choice("server", "inside", "inside")
	} else {
		s := m.Map("server")
		s.Strings("urls")
		s.Secret("key")
		if s.Has("tls") {
			s.Map("tls").Done()
		}
		s.Done()
	}
	tables := m.Map("tables")
	for _, name := range tables.Names() {
		t := tables.Map(name)
		t.Duration("poll", 5*time.Second, time.Second, time.Hour)
		t.Int("size", 3, 1, 9)
		if t.IsList("columns") {
			t.Strings("columns")
		} else {
			c := t.Map("columns")
			for _, name := range c.Names() {
				c.Bool(name, false)
			}
		}
		if t.IsMap("only") {
			t.Map("only").Strings("but")
		} else {
			t.Bool("only", false)
		}
		t.Allow("when")
		t.Done()
	}
	m.Bytes("max", -1, 5)
	m.Time("since")
	m.Done()
}

// render lists entries, one line each.
func render(e *Entry) string {
	var b strings.Builder
	var walk func(path string, e *Entry)
	walk = func(path string, e *Entry) {
		for _, f := range e.Fields {
			var kinds []string
			for _, form := range f.Forms {
				kinds = append(kinds, fmt.Sprint(form.Kind))
			}
			fmt.Fprintf(&b, "%s%s %s required=%v closed=%v\n", path, f.Name, strings.Join(kinds, "+"), f.Required, f.Closed)
			walk(path+f.Name+".", f)
		}
	}
	walk("", e)
	return b.String()
}

func TestAnOutlineHasAllThatAReaderCanAskFor(t *testing.T) {
	o := Outline(sample)
	want := fmt.Sprintf(`name %[1]d required=true closed=false
mode %[2]d required=false closed=false
server %[3]d+%[2]d required=true closed=true
server.urls %[4]d required=false closed=false
server.key %[5]d required=false closed=false
server.tls %[3]d required=false closed=true
tables %[3]d required=false closed=false
tables.* %[3]d required=false closed=true
tables.*.poll %[6]d required=false closed=false
tables.*.size %[7]d required=false closed=false
tables.*.columns %[3]d+%[4]d required=false closed=false
tables.*.columns.* %[8]d required=false closed=false
tables.*.only %[3]d+%[8]d required=false closed=false
tables.*.only.but %[4]d required=false closed=false
tables.*.when %[9]d required=false closed=false
max %[10]d required=false closed=false
since %[11]d required=false closed=false
`, Text, Word, Fields, Texts, SecretText, Length, Whole, Switch, Foreign, Size, Moment)
	if diff := cmp.Diff(want, render(o)); diff != "" {
		t.Error(diff)
	}
	if f := o.Field("tables").Field("*").Field("size").Forms[0]; f.Default != int64(3) || f.Low != 1 || f.High != 9 {
		t.Errorf("bounds of size: %+v", f)
	}
}

func TestATraceHasWhatWasReadAndWhatWasNot(t *testing.T) {
	d := Parse("f", []byte("name: n\nserver: inside\ntables: {a: {poll: 7s, columns: [x], when: y}}\n"), Environment{})
	trace := d.Trace()
	sample(d)
	if ps := d.Problems(); len(ps) > 0 {
		t.Fatal(ps)
	}
	a := trace.Field("tables").Field("a")
	if f := a.Field("poll").Forms[0]; f.Value != 7*time.Second || f.Default != 5*time.Second {
		t.Errorf("poll %+v", f)
	}
	if f := a.Field("size").Forms[0]; f.Value != int64(3) {
		t.Errorf("size %+v", f)
	}
	if a.Field("when").Node == nil || a.Field("size").Node != nil {
		t.Error("a node where nothing stands, or none where something does")
	}
	if s := trace.Field("server"); len(s.Fields) != 0 || s.Forms[0].Value != "inside" {
		t.Errorf("server %+v", s)
	}
}

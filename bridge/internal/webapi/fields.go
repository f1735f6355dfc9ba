package webapi

import (
	"bytes"
	"strings"
)

// fields are the header fields of an answer. Get returns the first value of a field, ""
// when it is not there.
type fields interface{ Get(name string) string }

// partFields are the header lines of a part of a batch, as they came: of a good answer one
// or two are read, so that a table of all of them would be most of what reading it costs.
type partFields []byte

// Get implements fields.
func (f *partFields) Get(name string) string {
	for rest := []byte(*f); len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return string(bytes.TrimSpace(line[len(name)+1:]))
		}
	}
	return ""
}

// fields are those of the answer, in whichever form it has them.
func (a *answer) fields() fields {
	if a.header == nil {
		return &a.lines
	}
	return a.header
}

// refuse makes an answer of a good status one to be judged.
func (a *answer) refuse(err error) {
	a.err, a.accepted = err, false
	if a.header == nil {
		a.header = partHeader(a.lines)
	}
}

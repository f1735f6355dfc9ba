package schema

import (
	"fmt"
	"strings"
)

// Problem is one fault in a file that a person wrote, with its place. Lines and
// columns count from 1; 0 means unknown.
type Problem struct {
	File   string
	Line   int
	Column int
	// Field is the dotted path of the field: inbound.routes.erp.key.
	Field string
	Text  string
}

// Error renders file:line:column: field: text.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is every fault found, in the order of the file.
type Problems []Problem

// Error renders one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

package mapping

import (
	"cmp"
	"fmt"
	"slices"

	"cebridge/schema"
)

// place is where something stands in the configuration file.
type place struct {
	file         string
	line, column int
	// field is the dotted path of the field.
	field string
}

func (p place) problem(format string, args ...any) schema.Problem {
	return schema.Problem{File: p.file, Line: p.line, Column: p.column, Field: p.field, Text: fmt.Sprintf(format, args...)}
}

// String names the field and its place, for errors at run time.
func (p place) String() string {
	if p.line == 0 {
		return p.field
	}
	file := p.file
	if file != "" {
		file += ":"
	}
	return fmt.Sprintf("%s (%s%d:%d)", p.field, file, p.line, p.column)
}

// collector gathers problems.
type collector struct{ problems schema.Problems }

func (c *collector) add(p place, format string, args ...any) {
	c.problems = append(c.problems, p.problem(format, args...))
}

// sorted returns the problems in the order of the file, each once.
func (c *collector) sorted() schema.Problems {
	slices.SortStableFunc(c.problems, func(a, b schema.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(c.problems)
}

package sim

import (
	"math/big"
	"strconv"
	"strings"
)

// expr is a condition on a row, of which cells are the unpacked columns.
type expr interface {
	match(d *tableDef, r *row, cells []string) bool
}

type (
	andExpr []expr
	orExpr  []expr
	notExpr struct{ of expr }
	// nullExpr is column eq null, or ne null.
	nullExpr struct {
		column int
		want   bool
	}
	// textExpr is contains, startswith or endswith; text is in lower case.
	textExpr struct {
		column         int
		function, text string
	}
)

func (e andExpr) match(d *tableDef, r *row, cells []string) bool {
	for _, t := range e {
		if !t.match(d, r, cells) {
			return false
		}
	}
	return true
}

func (e orExpr) match(d *tableDef, r *row, cells []string) bool {
	for _, t := range e {
		if t.match(d, r, cells) {
			return true
		}
	}
	return false
}

func (e notExpr) match(d *tableDef, r *row, cells []string) bool { return !e.of.match(d, r, cells) }

func (e *nullExpr) match(d *tableDef, r *row, cells []string) bool {
	return (r.literal(d, cells, e.column) == "null") == e.want
}

// match is false for null.
func (e *textExpr) match(_ *tableDef, _ *row, cells []string) bool {
	if cells[e.column] == "" {
		return false
	}
	text, _ := textOf([]byte(cells[e.column]))
	text = strings.ToLower(text)
	switch e.function {
	case "contains":
		return strings.Contains(text, e.text)
	case "startswith":
		return strings.HasPrefix(text, e.text)
	}
	return strings.HasSuffix(text, e.text)
}

type compareKind int

const (
	// compareExact compares literals: dates sort as texts, and GUIDs and booleans
	// only know equality.
	compareExact compareKind = iota
	compareText
	compareInteger
	compareNumber
)

// compareExpr compares a column with a literal that is not null. Texts compare
// without case and trailing blanks, as the database does. ne is true for null,
// the other operators are false for it.
type compareExpr struct {
	column  int
	op      string
	kind    compareKind
	text    string
	integer int64
	number  *big.Rat
}

func foldText(s string) string { return strings.ToLower(strings.TrimRight(s, " ")) }

func (e *compareExpr) match(d *tableDef, r *row, cells []string) bool {
	lit := r.literal(d, cells, e.column)
	if lit == "null" {
		return e.op == "ne"
	}
	c := e.compare(lit)
	switch e.op {
	case "eq":
		return c == 0
	case "ne":
		return c != 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	case "lt":
		return c < 0
	}
	return c <= 0
}

// compare orders the row's literal relative to the expression's.
func (e *compareExpr) compare(lit string) int {
	switch e.kind {
	case compareText:
		text, _ := textOf([]byte(lit))
		return strings.Compare(foldText(text), e.text)
	case compareInteger:
		n, _ := strconv.ParseInt(lit, 10, 64)
		switch {
		case n < e.integer:
			return -1
		case n > e.integer:
			return 1
		}
		return 0
	case compareNumber:
		n, ok := new(big.Rat).SetString(lit)
		if !ok {
			return -1
		}
		return n.Cmp(e.number)
	}
	return strings.Compare(lit, e.text)
}

// equalities collects what must hold exactly for e to match: column -> comparison.
func equalities(e expr, into map[int]*compareExpr) {
	switch e := e.(type) {
	case andExpr:
		for _, t := range e {
			equalities(t, into)
		}
	case *compareExpr:
		if e.op == "eq" {
			into[e.column] = e
		}
	}
}

// candidates narrows a filter to at most one record when it fixes the primary id
// or every column of an alternate key, so that look-ups do not scan the table.
// The row still has to match the whole filter.
func (t *table) candidates(d *tableDef, filter expr, exact bool) (rows []*row, narrowed bool) {
	fixed := map[int]*compareExpr{}
	equalities(filter, fixed)
	one := func(r *row) []*row {
		if r == nil {
			return nil
		}
		return []*row{r}
	}
	if e := fixed[d.id]; e != nil {
		k, err := parsePredicate(d, strings.Trim(e.text, `"`))
		return one(t.find(d, &k, exact)), err == nil
	}
	if exact {
		return nil, false // the index is stricter than the filter's comparison
	}
	for _, k := range d.keys {
		folded, ok := foldedEqualities(k, fixed)
		if !ok {
			continue
		}
		id, found := t.keys[k.name][folded]
		if !found {
			return nil, true
		}
		return one(t.rows[id]), true
	}
	return nil, false
}

func foldedEqualities(k keyDef, fixed map[int]*compareExpr) (string, bool) {
	var b strings.Builder
	for _, i := range k.columns {
		e := fixed[i]
		switch {
		case e == nil || e.kind == compareNumber:
			return "", false
		case e.kind == compareInteger:
			b.WriteString(strconv.FormatInt(e.integer, 10))
		default:
			b.WriteString(e.text)
		}
		b.WriteByte(0)
	}
	return b.String(), true
}

package mapping

import "cebridge/schema"

// Lint reports what is wrong with a mapping whatever the tables are like: names and
// types in expressions, code tables, time zones, fields that exclude each other, and
// places that an example of the event does not have. Compile reports all of it too.
func Lint(s *Spec, o Options) schema.Problems {
	o.blind = true
	_, problems := Compile(s, schema.Catalog{}, o)
	return problems
}

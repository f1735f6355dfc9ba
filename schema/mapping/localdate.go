package mapping

import (
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on what a machine has installed

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// zones are the time zones that a mapping names, loaded when it is compiled.
type zones map[string]*time.Location

// localDate implements localDate(x, zone): the calendar date of a moment in a zone.
func (z zones) localDate(v, zone ref.Val) ref.Val {
	name, _ := zone.(types.String)
	location := z[string(name)]
	if location == nil {
		return failed("localDate() needs a time zone that the mapping names")
	}
	switch x := v.(type) {
	case types.Timestamp:
		return types.String(x.In(location).Format(dateLayout))
	case types.String:
		if !timeForm.MatchString(string(x)) {
			break
		}
		if t, err := time.Parse(time.RFC3339Nano, string(x)); err == nil {
			return types.String(t.In(location).Format(dateLayout))
		}
	}
	return failed("localDate() takes a time with a zone, such as yyyy-MM-ddTHH:mm:ssZ; for a date as it is written use isoDate()")
}

// localDateCalls loads the zones that localDate() names.
func (c *compiler) localDateCalls(p *program) {
	walk(p.root, func(e celast.Expr) {
		if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != "localDate" {
			return
		}
		zone := e.AsCall().Args()[1]
		name, ok := textConstant(zone)
		if !ok {
			c.add(c.inside(p.expression, p.tree, e.ID()), `the zone of localDate() must be a constant: localDate(time, "Europe/Berlin")`)
			return
		}
		location, err := time.LoadLocation(name)
		if err != nil || name == "" || strings.EqualFold(name, "local") {
			c.add(c.inside(p.expression, p.tree, zone.ID()), `unknown time zone %q: use a name of the IANA database, such as "Europe/Berlin" or "UTC"`, name)
			return
		}
		c.options.language.zones[name] = location
	})
}

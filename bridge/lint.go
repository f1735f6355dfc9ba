package bridge

import "cebridge/schema"

// Check holds a configuration against saved definitions of the organization's tables,
// such as PullSchema reads, and connects to nothing. It reports what the bridge would
// report when it starts, all at once; a table that is not among them does not exist.
func Check(cfg Config, tables []*schema.Table) schema.Problems {
	catalog := schema.NewCatalog(tables...)
	var problems schema.Problems
	for _, c := range cfg.Outbound.Tables {
		problems = append(problems, checkTable(c, catalog)...)
	}
	for _, r := range cfg.Inbound.Routes {
		if r.Mapping == nil {
			problems = append(problems, r.at.problem("", "the route has no mapping"))
			continue
		}
		_, ps := compileRoute(r, catalog)
		problems = append(problems, ps...)
	}
	return problems
}

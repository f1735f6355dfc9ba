package bench

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"cebridge/bridge/sim"
	"cebridge/schema"
)

func idleCase() kase { return kase{"idle", idle} }

const idleTables = 50

func idleTable(i int) string { return fmt.Sprintf("new_idle%02d", i) }

// idleSchema is the default one and tables of which nothing is ever heard.
func idleSchema() ([]*schema.Table, error) {
	tables, err := sim.DefaultSchema()
	if err != nil {
		return nil, err
	}
	for i := range idleTables {
		name := idleTable(i)
		tables = append(tables, &schema.Table{
			LogicalName: name, SchemaName: name, EntitySet: name + "s", PrimaryID: name + "id", PrimaryName: "new_name",
			Ownership: "OrganizationOwned", ChangeTracking: true, OptimisticConcurrency: true,
			Columns: []schema.Column{
				{LogicalName: name + "id", SchemaName: name + "id", Type: schema.TypeUniqueID, CreateOnly: true, Required: true},
				{LogicalName: "new_name", SchemaName: "new_Name", Type: schema.TypeString, MaxLength: 100},
				{LogicalName: "modifiedon", SchemaName: "ModifiedOn", Type: schema.TypeDateTime, Behavior: "UserLocal", ReadOnly: true},
				{LogicalName: "versionnumber", SchemaName: "VersionNumber", Type: schema.TypeBigInt, ReadOnly: true},
			},
		})
	}
	return tables, nil
}

// idle measures what following tables costs of which nothing is heard.
func idle(ctx context.Context, o Options) ([]Result, error) {
	tables, err := idleSchema()
	if err != nil {
		return nil, err
	}
	s, err := newStage(ctx, o, lazySync, sim.Options{Tables: tables})
	if err != nil {
		return nil, err
	}
	defer s.close()
	ours, err := s.idleOurs(ctx)
	if err != nil {
		return nil, err
	}
	limit, err := s.idleRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("raw loop: %w", err)
	}
	core := Result{Name: "idle-cpu-50-tables", Unit: "% of a core", Items: idleTables, RSS: ours.peak, LimitRSS: limit.peak}
	core.Ours, core.Limit = ours.core, limit.core
	core.Ratio = core.Limit / core.Ours
	requests := Result{Name: "idle-requests-50-tables", Unit: "requests per poll and table", Items: idleTables}
	requests.Ours, requests.Limit = ours.requests, limit.requests
	requests.Ratio = requests.Limit / requests.Ours
	return []Result{core, requests}, nil
}

// idleFigures are of a process that only looks.
type idleFigures struct {
	core     float64 // hundredths of a core
	requests float64 // of any kind per table and poll
	peak     float64 // MiB
}

func (s *stage) idleOurs(ctx context.Context) (idleFigures, error) {
	var list strings.Builder
	for i := range idleTables {
		fmt.Fprintf(&list, "    %s: {columns: [new_name], poll: %s}\n", idleTable(i), s.o.Poll)
	}
	return s.watch(ctx, func() (*process, error) {
		return s.bridge("idle", fmt.Sprintf(`org: %s
webapi: {url: "%s"}
nats: {urls: ["%s"]}
outbound:
  type_prefix: com.contoso.crm
  tables:
%s`, benchOrg, s.url, s.nats.URL(), list.String()))
	})
}

func (s *stage) idleRaw(ctx context.Context) (idleFigures, error) {
	j := job{Kind: jobIdle, Every: s.o.Poll}
	r := reader{client: &http.Client{}}
	defer r.client.CloseIdleConnections()
	for i := range idleTables {
		link, err := r.deltaLink(ctx, fmt.Sprintf("%s/api/data/v9.2/%ss?$select=new_name,modifiedon,versionnumber", s.url, idleTable(i)))
		if err != nil {
			return idleFigures{}, err
		}
		j.Links = append(j.Links, link)
	}
	return s.watch(ctx, func() (*process, error) { return s.raw(j) })
}

// watch starts a process, waits until every table was polled twice, and then looks at
// it for the time that the options say.
func (s *stage) watch(ctx context.Context, start func() (*process, error)) (f idleFigures, err error) {
	s.sim.ResetRequests()
	p, err := start()
	if err != nil {
		return f, err
	}
	defer p.stop(&err)
	if _, err := p.follow(ctx, 2*idleTables, func(context.Context) (int, error) {
		return s.sim.Requests().Of(http.MethodGet, sim.RequestDelta), nil
	}); err != nil {
		return f, err
	}
	cpu, requests, began := p.cpu(), s.sim.Requests().Total(), time.Now()
	select {
	case <-time.After(s.o.Idle):
	case <-p.ended:
		return f, fmt.Errorf("the process ended: %w", p.err)
	case <-ctx.Done():
		return f, ctx.Err()
	}
	took := time.Since(began)
	f.core = 100 * (p.cpu() - cpu).Seconds() / took.Seconds()
	f.requests = float64(s.sim.Requests().Total()-requests) / idleTables / (took.Seconds() / s.o.Poll.Seconds())
	f.peak = p.peakMiB()
	return f, nil
}

// idle looks at every table again and again and expects nothing.
func (j job) idle(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(j.Links)}}
	defer client.CloseIdleConnections()
	for i, link := range j.Links {
		g.Go(func() error {
			r := reader{client: client}
			// Spread over the time between two looks.
			wait := time.NewTimer(j.Every * time.Duration(i) / time.Duration(len(j.Links)))
			defer wait.Stop()
			for {
				select {
				case <-wait.C:
				case <-ctx.Done():
					return nil
				}
				wait.Reset(j.Every)
				var err error
				if link, err = r.deltaLink(ctx, link); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

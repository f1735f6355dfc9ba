package sim

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cebridge/schema"

	"github.com/google/uuid"
)

// The tables that webhooks are registered in. Source: developer guide, "Register a
// WebHook": an endpoint is a serviceendpoint with contract 8, a step a
// sdkmessageprocessingstep that names a message, a filter (message and table) and
// the endpoint as its event handler.
const (
	endpointTable = "serviceendpoint"
	messageTable  = "sdkmessage"
	filterTable   = "sdkmessagefilter"
	stepTable     = "sdkmessageprocessingstep"
)

// Values of those tables' choices. Source: entity reference.
const (
	contractWebhook    = 8
	authWebhookKey     = 4
	authHTTPHeader     = 5
	authHTTPQuery      = 6
	stagePostOperation = 40
	modeAsynchronous   = 1
)

// The messages that a step can be registered for. An upsert is one of the first
// two; a write that changes the owner or the state too is one Update (assumption:
// real servers may ring twice).
const (
	messageCreate = "Create"
	messageUpdate = "Update"
	messageDelete = "Delete"
)

// hookStep is an enabled step with its endpoint.
type hookStep struct {
	id         uuid.UUID
	name       string
	message    string
	table      string   // "" means any
	attributes []string // of Update; none means any
	rank       int
	autoDelete bool
	url        string
	authType   int
	authValue  string
}

// hookTables tells whether a table is one of those of webhooks and jobs, whose
// own writes ring no webhook.
func hookTables(name string) bool {
	switch name {
	case endpointTable, messageTable, filterTable, stepTable, asyncTable:
		return true
	}
	return false
}

// messageRows are the messages, and a filter for each with every table.
func messageRows(tables []*schema.Table) []baseRow {
	var rows []baseRow
	for _, message := range []string{messageCreate, messageUpdate, messageDelete} {
		id := messageID(message)
		rows = append(rows, baseRow{messageTable, id, map[string]any{"name": message}})
		for _, t := range tables {
			if !hookTables(t.LogicalName) {
				rows = append(rows, baseRow{filterTable, uuid.NewSHA1(id, []byte(t.LogicalName)), map[string]any{
					"primaryobjecttypecode": t.LogicalName, "sdkmessageid@odata.bind": "/sdkmessages(" + id.String() + ")",
				}})
			}
		}
	}
	return rows
}

// install inserts the records that come with the product. Their versions lie
// before Options.FirstVersion, if there is room, and they are not in the write log.
func (s *Server) install() error {
	rows := messageRows(s.catalog())
	first, log := s.version, s.log
	s.version = max(first-int64(len(rows)), 0)
	for _, b := range rows {
		if err := s.insertBase(b); err != nil {
			return err
		}
	}
	s.version, s.log = max(s.version, first), log
	return nil
}

func messageID(name string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("simulator/sdkmessage/"+name))
}

// checkHook refuses registrations that the server would not take, and with 501
// those that it would and the simulator does not: other contracts than webhooks,
// synchronous steps. It looks at the cells of a write just before it is made.
func (x *tx) checkHook(d *tableDef, cells []string) *apiError {
	switch d.LogicalName {
	case endpointTable:
		return checkEndpoint(cellReader{d, cells})
	case stepTable:
		return checkStep(cellReader{d, cells})
	}
	return nil
}

func checkEndpoint(c cellReader) *apiError {
	if c.number("contract") != contractWebhook {
		return notSimulated("service endpoints other than webhooks (contract 8).")
	}
	if u, err := url.Parse(c.text("url")); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return hookRefused("The url of a webhook must be an absolute http or https URL.")
	}
	switch c.number("authtype") {
	case authWebhookKey:
		if c.text("authvalue") != "" {
			return nil
		}
	case authHTTPHeader, authHTTPQuery:
		if settings, err := parseSettings(c.text("authvalue")); err == nil && len(settings) > 0 {
			return nil
		}
		return hookRefused("The authvalue must be a settings document: <settings><setting name=\"..\" value=\"..\" /></settings>.")
	default:
		return hookRefused("The authtype of a webhook must be WebhookKey (4), HttpHeader (5) or HttpQueryString (6).")
	}
	return hookRefused("The authvalue of a webhook cannot be empty.")
}

func checkStep(c cellReader) *apiError {
	switch {
	case c.number("mode") != modeAsynchronous:
		return notSimulated("synchronous steps: register the step with mode 1.")
	case c.number("stage") != stagePostOperation:
		return hookRefused("An asynchronous step must be registered in the post-operation stage (40).")
	case c.lookup("sdkmessageid") == uuid.Nil || c.lookup("eventhandler") == uuid.Nil:
		return hookRefused("A step needs a message (sdkmessageid) and an event handler (eventhandler_serviceendpoint).")
	}
	return nil
}

func hookRefused(message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeInvalidArgument, Message: message}
}

// compileSteps reads the enabled steps from the records. It needs the lock.
func (s *Server) compileSteps() []hookStep {
	c := s.catalogNow()
	stepRows, endpoints, messages, filters := c.byName[stepTable], c.byName[endpointTable], c.byName[messageTable], c.byName[filterTable]
	if stepRows == nil || endpoints == nil || messages == nil || filters == nil {
		return nil
	}
	var steps []hookStep
	for id, r := range stepRows.rows {
		step := stepRows.reader(r)
		endpoint, message := endpoints.rows[step.lookup("eventhandler")], messages.rows[step.lookup("sdkmessageid")]
		if step.number("statecode") != 0 || endpoint == nil || message == nil {
			continue
		}
		e := endpoints.reader(endpoint)
		h := hookStep{
			id: id, name: step.text("name"), message: messages.reader(message).text("name"), rank: step.number("rank"),
			autoDelete: step.text("asyncautodelete") == "true", url: e.text("url"), authType: e.number("authtype"), authValue: e.text("authvalue"),
		}
		if f := step.lookup("sdkmessagefilterid"); f != uuid.Nil {
			filter := filters.rows[f]
			if filter == nil {
				continue
			}
			h.table = filters.reader(filter).text("primaryobjecttypecode")
		}
		for name := range strings.SplitSeq(step.text("filteringattributes"), ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.attributes = append(h.attributes, name)
			}
		}
		steps = append(steps, h)
	}
	slices.SortFunc(steps, func(a, b hookStep) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.id.String(), b.id.String()))
	})
	return steps
}

// cellReader reads a row's cells by column name.
type cellReader struct {
	d     *tableDef
	cells []string
}

func (t *table) reader(r *row) cellReader {
	d := t.def.Load()
	return cellReader{d, r.unpack(d, nil)}
}

func (c cellReader) cell(name string) string {
	if i := c.d.column(name); i >= 0 {
		return c.cells[i]
	}
	return ""
}

// text is the content of a text, or the literal of anything else; "" for null.
func (c cellReader) text(name string) string {
	cell := c.cell(name)
	if text, ok := textOf([]byte(cell)); ok {
		return text
	}
	return cell
}

// number is -1 for null, so that it differs from every option.
func (c cellReader) number(name string) int {
	n, err := strconv.Atoi(c.cell(name))
	if err != nil {
		return -1
	}
	return n
}

func (c cellReader) lookup(name string) uuid.UUID {
	i := c.d.column(name)
	if i < 0 {
		return uuid.Nil
	}
	_, id, _ := lookupTarget(&c.d.Columns[i], c.cells[i])
	return id
}

// isWriteOnly names the one column that can be written and not read: the secret
// of an endpoint (developer guide, "Register a WebHook").
func isWriteOnly(t *schema.Table, c *schema.Column) bool {
	return t.LogicalName == endpointTable && c.LogicalName == "authvalue"
}

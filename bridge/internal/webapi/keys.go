package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// NewKey is an alternate key to define.
type NewKey struct {
	Table string
	// SchemaName begins with a publisher's prefix; Label is what people see, in the
	// organization's base language.
	SchemaName, Label string
	Columns           []string
	// Solution is the unique name of an unmanaged solution that the key is added to;
	// "" for the default one.
	Solution string
}

// Key is an alternate key as the server describes it.
type Key struct {
	schema.AlternateKey
	// Cause says why the index job of a failed key failed, as the job's record tells
	// it without the values of records; "" when it tells nothing or cannot be read.
	Cause string
}

// englishLanguage is the code of English, for an organization that does not say its
// own.
const englishLanguage = 1033

// CreateKey defines an alternate key; one of the same name and columns that is there
// already is as good. The server builds its index in a system job: the
// key addresses records once Key says Active. Nothing has to be published
// (assumption). Source: developer guide, "Work with alternate keys";
// "EntityKeyMetadata EntityType".
func (c *Client) CreateKey(ctx context.Context, k NewKey) error {
	if !validName(k.Table) || !validName(k.SchemaName) {
		return badName(k.Table, k.SchemaName)
	}
	language, err := c.baseLanguage(ctx)
	if err != nil {
		return err
	}
	body := map[string]any{
		"SchemaName": k.SchemaName, "KeyAttributes": k.Columns,
		"DisplayName": map[string]any{
			"@odata.type": "Microsoft.Dynamics.CRM.Label",
			"LocalizedLabels": []any{map[string]any{
				"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": k.Label, "LanguageCode": language,
			}},
		},
	}
	header := map[string]string{}
	if k.Solution != "" {
		header["MSCRM.SolutionUniqueName"] = k.Solution
	}
	err = c.change(ctx, http.MethodPost, definitionPath(k.Table)+"/Keys", body, header)
	if e := outcome.Of(err); e == nil || !e.Ambiguous && e.Code != codeKeyNameExists && e.Code != codeKeyColumnsExist {
		return err
	}
	// It may be there: made by this request, whose answer was lost, or by a rival.
	have, look := c.Key(ctx, k.Table, strings.ToLower(k.SchemaName))
	if look == nil && have != nil && slices.Equal(slices.Sorted(slices.Values(have.Columns)), slices.Sorted(slices.Values(k.Columns))) {
		return nil
	}
	return err
}

// baseLanguage is the language that labels must have at least.
func (c *Client) baseLanguage(ctx context.Context) (int, error) {
	var found struct {
		Value []struct {
			Code int `json:"languagecode"`
		} `json:"value"`
	}
	err := c.metadataQuery(ctx, "organizations?$select=languagecode", &found)
	if err != nil && !hasReason(err, outcome.Config) {
		return 0, err
	}
	if len(found.Value) == 0 || found.Value[0].Code == 0 {
		return englishLanguage, nil
	}
	return found.Value[0].Code, nil
}

// Key reads one key as it is now, past the server's cache of definitions; nil when the
// table has none of that logical name. Source of the header Consistency: developer
// guide, "Query table definitions using the Web API".
func (c *Client) Key(ctx context.Context, table, name string) (*Key, error) {
	if !validName(table) || !validName(name) {
		return nil, badName(table, name)
	}
	var d struct {
		keyDefinition
		AsyncJob json.RawMessage
	}
	err := c.metadataQueryWith(ctx, definitionPath(table)+"/Keys(LogicalName='"+name+"')", map[string]string{"Consistency": "Strong"}, &d)
	if unknownTable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &Key{AlternateKey: schema.AlternateKey{LogicalName: d.LogicalName, SchemaName: d.SchemaName,
		Columns: d.KeyAttributes, Status: schema.KeyStatus(d.EntityKeyIndexStatus)}}
	if id := jobID(d.AsyncJob); k.Status == schema.KeyFailed && id != "" {
		k.Cause, err = c.jobMessage(ctx, id)
	}
	return k, err
}

// jobID reads the reference to a system job: online an object, in older versions its
// id. Source: "EntityKeyMetadata EntityType" of both.
func jobID(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var job struct {
			ID string `json:"asyncoperationid"`
		}
		if json.Unmarshal(raw, &job) != nil {
			return ""
		}
		text = job.ID
	}
	if !schema.IsGUID(text) {
		return ""
	}
	return strings.ToLower(text)
}

// jobMessage is what a system job says about its end, "" when the user may not read
// it or it was cleaned up.
func (c *Client) jobMessage(ctx context.Context, id string) (string, error) {
	var job struct {
		Message  string `json:"message"`
		Friendly string `json:"friendlymessage"`
	}
	err := c.metadataQuery(ctx, "asyncoperations("+id+")?$select=message,friendlymessage", &job)
	if e := outcome.Of(err); e != nil && (e.Reason == outcome.NotFound || e.Reason == outcome.Config || e.Reason == outcome.Forbidden) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text := job.Friendly
	if text == "" {
		text = job.Message
	}
	return shorten(strings.Join(strings.Fields(duplicateValues.ReplaceAllString(text, "$1(hidden)")), " ")), nil
}

// duplicateValues finds the values that the database names when it refuses a unique
// index: they are the content of records. Source: SQL Server, error 1505.
var duplicateValues = regexp.MustCompile(`(?is)(key value is )\(.*\)`)

// ReactivateKey has the index of a failed key built again. Source: Web API reference,
// "ReactivateEntityKey Action".
func (c *Client) ReactivateKey(ctx context.Context, table, name string) error {
	body := map[string]string{"EntityLogicalName": table, "EntityKeyLogicalName": name}
	return c.change(ctx, http.MethodPost, "ReactivateEntityKey", body, nil)
}

// CountUpTo5000 counts the records of a table; more is true when there are more than
// the server counts. Source: developer guide, "Count number of rows".
func (c *Client) CountUpTo5000(ctx context.Context, t *schema.Table) (n int64, more bool, err error) {
	var page struct {
		Count int64 `json:"@odata.count"`
	}
	path := t.EntitySet + "?$select=" + t.PrimaryID + "&$top=1&$count=true"
	if err := c.metadataQuery(ctx, path, &page); err != nil {
		return 0, false, err
	}
	return page.Count, page.Count >= 5000, nil
}

func badName(names ...string) error {
	return &outcome.Error{Op: "metadata", Verdict: outcome.Stop, Reason: outcome.Config, Message: "not a name: " + shorten(strings.Join(names, " "))}
}

package webapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cebridge/schema"
)

// Headers of an answer in their canonical form: any other costs a new text each time.
const (
	odataVersion  = "Odata-Version"
	odataEntityID = "Odata-Entityid"
)

// readResult reads the answer to an accepted write: 204 without a body, or 200
// and 201 with the record. A 204 counts only with a header of the protocol:
// nothing that merely stands in front of the API shall settle a message.
func readResult(op, table string, status int, header fields, body io.Reader) (schema.Result, error) {
	switch {
	case status == http.StatusNoContent:
		if header.Get(odataVersion) == "" && header.Get(odataEntityID) == "" {
			return schema.Result{}, &malformed{"status 204 without any OData header: something other than the Web API answered"}
		}
		return schema.Result{Effect: effectOf(op), ID: idInURL(header.Get(odataEntityID)), Version: etagOf(header)}, nil
	case op != opDelete && (status == http.StatusOK || status == http.StatusCreated):
		return readRecord(table, status, header, body)
	}
	return schema.Result{}, &malformed{fmt.Sprintf("status %d does not answer a write", status)}
}

func readRecord(table string, status int, header fields, body io.Reader) (schema.Result, error) {
	raw, err := readAll(body)
	if err != nil {
		return schema.Result{}, err
	}
	record, err := decodeObject(raw)
	if err != nil {
		return schema.Result{}, err
	}
	result := schema.Result{Effect: schema.EffectUpdated, ID: idOf(record, table), Version: etagOf(header)}
	if status == http.StatusCreated {
		result.Effect = schema.EffectCreated
	}
	if result.ID == "" {
		result.ID = idInURL(header.Get(odataEntityID))
	}
	if v, err := strconv.ParseInt(string(record[versionColumn]), 10, 64); err == nil && v > 0 {
		result.Version = v
	} else if v, ok := parseETag(textOf(record["@odata.etag"])); ok {
		result.Version = v
	}
	return result, nil
}

// effectOf is what a 204 proves: the precondition tells a create from an update.
func effectOf(op string) schema.Effect {
	switch op {
	case opCreate:
		return schema.EffectCreated
	case opUpdate:
		return schema.EffectUpdated
	case opDelete:
		return schema.EffectDeleted
	}
	return schema.EffectWritten
}

func etagOf(header fields) int64 {
	v, _ := parseETag(header.Get("Etag"))
	return v
}

// idOf finds the primary id in a record that was read with $select=versionnumber:
// <table>id, or activityid, or else the one GUID that is not a lookup.
func idOf(record map[string]json.RawMessage, table string) string {
	for _, name := range []string{table + "id", "activityid"} {
		if id, ok := parseGUID(record[name]); ok {
			return id
		}
	}
	found := ""
	for name, value := range record {
		id, ok := parseGUID(value)
		if !ok || strings.HasPrefix(name, "_") || strings.Contains(name, "@") {
			continue
		}
		if found != "" {
			return ""
		}
		found = id
	}
	return found
}

// idInURL reads the GUID of an address in the form accounts(GUID); an address by
// alternate key has none.
func idInURL(address string) string {
	_, rest, ok := strings.Cut(address[strings.LastIndexByte(address, '/')+1:], "(")
	if !ok {
		return ""
	}
	id, _ := parseGUID([]byte(`"` + strings.TrimSuffix(rest, ")") + `"`))
	return id
}

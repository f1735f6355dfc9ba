package webapi

import (
	"context"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"
)

// isOwn decides what a duplicate means to a create that was tried before: when the
// record that stands there has every column as the create writes it, the earlier
// attempt made it, or the same was written by somebody else, which leads to the same
// record. It is then taken as made. Any other record is the duplicate it seems to be.
// Lookups are not compared.
func (a *application) isOwn(ctx context.Context, body json.RawMessage, duplicate error) error {
	w := a.write
	wanted := writtenColumns(body)
	if len(wanted) == 0 {
		return duplicate // nothing tells whose it is
	}
	name := w.EntitySet + "("
	if w.Search != nil {
		id, err := a.client.search(ctx, w.Search, a.sending)
		if err != nil || id == "" {
			return orElse(err, duplicate)
		}
		name += id + ")"
	} else {
		name += a.predicate() + ")"
	}
	var columns []string
	for column := range wanted {
		if !validName(column) {
			return duplicate
		}
		columns = append(columns, column)
	}
	slices.Sort(columns)
	var row map[string]json.RawMessage
	call := &call{
		op: opExists, method: http.MethodGet, name: name, limit: a.client.maxBody, inbound: true, sending: a.sending,
		path: name + "?$select=" + versionColumn + "," + strings.Join(columns, ","),
		accept: func(status int, _ fields, body io.Reader) error {
			var err error
			row, err = readObject(status, body)
			return err
		},
	}
	if err := a.client.do(ctx, call); hasReason(err, outcome.NotFound) {
		return duplicate // it is another key that is taken
	} else if err != nil {
		return err
	}
	for column, want := range wanted {
		if !sameValue(want, row[column]) {
			return duplicate
		}
	}
	result := schema.Result{Effect: schema.EffectCreated, ID: idOf(row, w.Table), Requests: a.result.Requests}
	if n, ok := parseETag(textOf(row["@odata.etag"])); ok {
		result.Version = n
	}
	a.result = result
	return nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// writtenColumns lists the columns of a body as a read shows them.
func writtenColumns(body json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return nil
	}
	columns := map[string]json.RawMessage{}
	for name, value := range members {
		if !strings.Contains(name, "@") {
			columns[name] = value
		}
	}
	return columns
}

// sameValue compares a value that was written with one that was read: numbers by what
// they are worth, times by the second, texts without trailing blanks, and an empty
// text is no value, as the platform stores them.
func sameValue(want, have json.RawMessage) bool {
	w, h := strings.TrimSpace(string(want)), strings.TrimSpace(string(have))
	if w == `""` {
		w = "null"
	}
	if h == "" || h == `""` {
		h = "null"
	}
	if w == h {
		return true
	}
	var a, b string
	if json.Unmarshal([]byte(w), &a) == nil && json.Unmarshal([]byte(h), &b) == nil && w != "null" && h != "null" {
		if a, b = strings.TrimRight(a, " "), strings.TrimRight(b, " "); a == b {
			return true
		}
		at, errA := time.Parse(time.RFC3339, a)
		bt, errB := time.Parse(time.RFC3339, b)
		if errA == nil && errB == nil {
			return at.Truncate(time.Second).Equal(bt.Truncate(time.Second))
		}
		return schema.IsGUID(strings.ToLower(a)) && strings.EqualFold(a, b)
	}
	if w[0] == '"' || h[0] == '"' || len(w) > maxNumber || len(h) > maxNumber {
		return false
	}
	if strings.ContainsAny(w+h, "eE") { // an exponent can stand for a number without bounds
		x, errX := strconv.ParseFloat(w, 64)
		y, errY := strconv.ParseFloat(h, 64)
		return errX == nil && errY == nil && x == y
	}
	x, okX := new(big.Rat).SetString(w)
	y, okY := new(big.Rat).SetString(h)
	return okX && okY && x.Cmp(y) == 0
}

// maxNumber bounds the digits of numbers that are compared.
const maxNumber = 64

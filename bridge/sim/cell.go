package sim

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"cebridge/schema"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// maxMultiSelect is the largest number of values in a multi-select choice.
const maxMultiSelect = 150

// tableMark stands for the table's name in the messages of encodeCell, which does
// not know it; inTable puts it in.
const tableMark = "\x00"

// inTable completes a refusal of encodeCell.
func inTable(d *tableDef, e *apiError) *apiError {
	if e != nil {
		e.Message = strings.ReplaceAll(e.Message, tableMark, d.LogicalName)
	}
	return e
}

// encodeCell checks one JSON value against its column and returns the cell, which
// is empty for null. Lookups are not written as values and have no cell here.
func encodeCell(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	kind := raw.Kind()
	if kind == 'n' {
		return "", nil
	}
	if kind == '{' || kind == '[' {
		return "", invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: A '%s' node was found where a primitive value of the property '%s' was expected.", nodeName(kind), c.LogicalName)
	}
	switch c.Type {
	case schema.TypeString, schema.TypeMemo, schema.TypeEntityName:
		return encodeText(c, raw)
	case schema.TypeBoolean:
		if kind != 't' && kind != 'f' {
			return "", wrongType(c, raw, "Edm.Boolean")
		}
		return string(raw), nil
	case schema.TypeInteger:
		return encodeInteger(c, raw, 32)
	case schema.TypeBigInt:
		return encodeInteger(c, raw, 64)
	case schema.TypePicklist, schema.TypeState, schema.TypeStatus:
		return encodeOption(c, raw)
	case schema.TypeMultiSelect:
		return encodeOptions(c, raw)
	case schema.TypeDecimal, schema.TypeMoney:
		return encodeDecimal(c, raw)
	case schema.TypeDouble:
		return encodeDouble(c, raw)
	case schema.TypeDateTime:
		return encodeDate(c, raw)
	case schema.TypeUniqueID:
		text, ok := textOf(raw)
		if !ok || !schema.IsGUID(text) {
			return "", wrongType(c, raw, "Edm.Guid")
		}
		return guidLiteral(uuid.MustParse(text)), nil
	case schema.TypeImage:
		text, ok := textOf(raw)
		if !ok {
			return "", wrongType(c, raw, "Edm.Binary")
		}
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return "", wrongType(c, raw, "Edm.Binary")
		}
		return jsonText(text), nil
	}
	return "", notSimulated("writing column %s of type %s.", c.LogicalName, c.Type)
}

// textOf returns the content of a JSON string.
func textOf(raw jsontext.Value) (string, bool) {
	if raw.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, []byte(raw))
	return string(text), err == nil
}

// jsonText renders s as a JSON string.
func jsonText(s string) string {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil { // invalid UTF-8, which is replaced
		b, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return string(b)
}

// encodeText stores an empty text as null (assumption) and counts the length in
// UTF-16 units, as the database's nvarchar does.
func encodeText(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	text, ok := textOf(raw)
	if !ok {
		return "", wrongType(c, raw, "Edm.String")
	}
	if text == "" {
		return "", nil
	}
	if c.MaxLength > 0 && len(text) > c.MaxLength {
		if n := len(utf16.Encode([]rune(text))); n > c.MaxLength {
			return "", &apiError{
				Status: http.StatusBadRequest, Code: codeStringTooLong,
				Message: "A validation error occurred.  The length of the '" + c.LogicalName + "' attribute of the '" + tableMark + "' entity exceeded the maximum allowed length of '" + strconv.Itoa(c.MaxLength) + "'.",
			}
		}
	}
	return jsonText(text), nil
}

// encodeOption takes an integer, or one written as a text: a public SDK sends
// choices that way. Labels are never accepted.
func encodeOption(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	n, err := strconv.ParseInt(numberText(raw), 10, 32)
	if err != nil {
		return "", wrongType(c, raw, "Edm.Int32")
	}
	if !hasOption(c, n) {
		return "", badOption(c, n)
	}
	return strconv.FormatInt(n, 10), nil
}

// encodeOptions takes "1,9" or "1, 9" and stores "1,9".
func encodeOptions(c *schema.Column, raw jsontext.Value) (string, *apiError) {
	text, ok := textOf(raw)
	if !ok {
		return "", wrongType(c, raw, "Edm.String")
	}
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxMultiSelect {
		return "", &apiError{Status: http.StatusBadRequest, Code: codeOptionValue, Message: "The number of values of '" + c.LogicalName + "' exceeds the limit of 150."}
	}
	for i, p := range parts {
		n, err := strconv.ParseInt(strings.TrimSpace(p), 10, 32)
		if err != nil {
			return "", wrongType(c, raw, "mscrm."+c.LogicalName)
		}
		if !hasOption(c, n) {
			return "", badOption(c, n)
		}
		parts[i] = strconv.FormatInt(n, 10)
	}
	return jsonText(strings.Join(parts, ",")), nil
}

// hasOption accepts every value when the schema lists none.
func hasOption(c *schema.Column, n int64) bool {
	return len(c.Options) == 0 || slices.ContainsFunc(c.Options, func(o schema.Option) bool { return o.Value == n })
}

// badOption has the text that live servers were seen to send.
func badOption(c *schema.Column, n int64) *apiError {
	var accepted []string
	for _, o := range c.Options {
		accepted = append(accepted, strconv.FormatInt(o.Value, 10))
	}
	return &apiError{
		Status: http.StatusBadRequest, Code: codeOptionValue,
		Message: "A validation error occurred.  The value " + strconv.FormatInt(n, 10) + " of '" + c.LogicalName + "' on record of type '" + tableMark + "' is outside the valid range. Accepted Values: " + strings.Join(accepted, ","),
	}
}

// numberText is the text of a JSON number, or of a text holding one.
func numberText(raw jsontext.Value) string {
	if text, ok := textOf(raw); ok {
		return text
	}
	return string(bytes.TrimSpace(raw))
}

// wrongType is the OData reader's refusal of a literal.
func wrongType(c *schema.Column, raw jsontext.Value, edm string) *apiError {
	return invalidPayload("An error occurred while validating input parameters: Microsoft.OData.ODataException: Cannot convert the literal '%s' to the expected type '%s'. The property is '%s'.",
		shorten(numberText(raw)), edm, c.LogicalName)
}

// shorten keeps the start of a text that a message repeats.
func shorten(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "..."
	}
	return s
}

func nodeName(kind jsontext.Kind) string {
	if kind == '[' {
		return "StartArray"
	}
	return "StartObject"
}

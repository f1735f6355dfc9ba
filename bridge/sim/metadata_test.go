package sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cebridge/schema"
)

// widgetSchema has one column of each kind that the metadata tells apart.
const widgetSchema = `tables:
  - logicalName: new_widget
    schemaName: new_Widget
    entitySet: new_widgets
    primaryId: new_widgetid
    primaryName: new_name
    ownership: UserOwned
    changeTracking: true
    optimisticConcurrency: true
    columns:
      - {logicalName: new_widgetid, schemaName: new_WidgetId, type: Uniqueidentifier, createOnly: true, required: true}
      - {logicalName: new_name, schemaName: new_Name, type: String, maxLength: 100}
      - {logicalName: new_notes, schemaName: new_Notes, type: Memo, maxLength: 2000}
      - {logicalName: new_count, schemaName: new_Count, type: Integer, min: 0, max: 10}
      - {logicalName: new_weight, schemaName: new_Weight, type: Decimal, precision: 3}
      - {logicalName: new_length, schemaName: new_Length, type: Double, min: 0, max: 9.5, precision: 1}
      - {logicalName: new_price, schemaName: new_Price, type: Money, precision: 2}
      - {logicalName: new_soldon, schemaName: new_SoldOn, type: DateTime, behavior: DateOnly}
      - {logicalName: new_used, schemaName: new_Used, type: Boolean}
      - {logicalName: new_colour, schemaName: new_Colour, type: Picklist, options: [{value: 1, label: Red}, {value: 2, label: "Blue & \"green\""}]}
      - {logicalName: new_tags, schemaName: new_Tags, type: MultiSelectPicklist, options: [{value: 1, label: New}]}
      - {logicalName: new_parent, schemaName: new_Parent, type: Customer, targets: [new_widget]}
      - {logicalName: ownerid, schemaName: OwnerId, type: Owner, targets: [systemuser, team], required: true}
      - {logicalName: statecode, schemaName: StateCode, type: State, options: [{value: 0, label: Active, defaultStatus: 1}]}
      - {logicalName: statuscode, schemaName: StatusCode, type: Status, options: [{value: 1, label: Active, state: 0}]}
      - {logicalName: versionnumber, schemaName: VersionNumber, type: BigInt, readOnly: true}
    keys:
      - {logicalName: new_namekey, schemaName: new_NameKey, columns: [new_name]}
      - {logicalName: new_countkey, schemaName: new_CountKey, columns: [new_count, new_parent], status: Pending}
    navigations:
      - {column: new_parent, target: new_widget, name: new_Parent_new_widget, relationship: new_widget_parent}
      - {column: ownerid, target: systemuser, name: ownerid, relationship: owner_new_widget}
      - {column: ownerid, target: team, name: ownerid, relationship: owner_new_widget}
  - logicalName: systemuser
    entitySet: systemusers
    primaryId: systemuserid
    columns: [{logicalName: systemuserid, schemaName: SystemUserId, type: Uniqueidentifier}]
  - logicalName: team
    entitySet: teams
    primaryId: teamid
    columns: [{logicalName: teamid, schemaName: TeamId, type: Uniqueidentifier}]
`

func widgetServer(t *testing.T, profile Profile) *Server {
	t.Helper()
	tables, err := LoadSchema([]byte(widgetSchema))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Profile: profile, Tables: tables, Organization: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// metaGet asks for a path below the API root and returns status and body.
func metaGet(t *testing.T, s *Server, target string) (int, string) {
	t.Helper()
	u, err := url.Parse("http://crm.contoso.com/api/data/v9.2/" + strings.ReplaceAll(target, " ", "%20"))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "http://crm.contoso.com/", nil)
	r.URL = u
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// goldenFile compares with a file of testdata; UPDATE_GOLDEN=1 writes the file instead.
func goldenFile(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestMetadataAnswersHaveTheShapesOfTheWebAPI(t *testing.T) {
	t.Parallel()
	s := widgetServer(t, Online)
	const widget = "EntityDefinitions(LogicalName='new_widget')"
	for name, target := range map[string]string{
		"entity":          widget,
		"entities":        "EntityDefinitions?$select=LogicalName,EntitySetName&$filter=ChangeTrackingEnabled eq true",
		"attributes":      widget + "/Attributes?$select=LogicalName,AttributeType,AttributeTypeName,RequiredLevel,IsValidForCreate,IsValidForUpdate",
		"attribute":       widget + "/Attributes(LogicalName='new_name')",
		"picklist":        widget + "/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet,GlobalOptionSet",
		"picklist_single": widget + "/Attributes(LogicalName='new_colour')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)",
		"optionset":       widget + "/Attributes(LogicalName='new_colour')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata/OptionSet?$select=Options",
		"multiselect":     widget + "/Attributes/Microsoft.Dynamics.CRM.MultiSelectPicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)",
		"state":           widget + "/Attributes/Microsoft.Dynamics.CRM.StateAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)",
		"status":          widget + "/Attributes/Microsoft.Dynamics.CRM.StatusAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)",
		"boolean":         widget + "/Attributes/Microsoft.Dynamics.CRM.BooleanAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=TrueOption,FalseOption)",
		"string":          widget + "/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength,FormatName",
		"memo":            widget + "/Attributes/Microsoft.Dynamics.CRM.MemoAttributeMetadata?$select=LogicalName,MaxLength",
		"integer":         widget + "/Attributes/Microsoft.Dynamics.CRM.IntegerAttributeMetadata?$select=LogicalName,MinValue,MaxValue",
		"bigint":          widget + "/Attributes/Microsoft.Dynamics.CRM.BigIntAttributeMetadata?$select=LogicalName,MinValue,MaxValue",
		"decimal":         widget + "/Attributes/Microsoft.Dynamics.CRM.DecimalAttributeMetadata?$select=LogicalName,MinValue,MaxValue,Precision",
		"double":          widget + "/Attributes/Microsoft.Dynamics.CRM.DoubleAttributeMetadata?$select=LogicalName,MinValue,MaxValue,Precision",
		"money":           widget + "/Attributes/Microsoft.Dynamics.CRM.MoneyAttributeMetadata?$select=LogicalName,MinValue,MaxValue,Precision",
		"datetime":        widget + "/Attributes/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior,Format",
		"lookup":          widget + "/Attributes/Microsoft.Dynamics.CRM.LookupAttributeMetadata?$select=LogicalName,AttributeType,Targets",
		"keys":            widget + "/Keys?$select=SchemaName,LogicalName,KeyAttributes,EntityKeyIndexStatus",
		"key":             widget + "/Keys(LogicalName='new_namekey')",
		"manytoone":       widget + "/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,ReferencedAttribute,ReferencingEntityNavigationPropertyName,SchemaName",
		"onetomany":       widget + "/OneToManyRelationships?$select=ReferencingEntity,SchemaName",
		"expanded":        widget + "?$select=LogicalName&$expand=Attributes($select=LogicalName;$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'),Keys($select=KeyAttributes),ManyToOneRelationships($select=ReferencingEntityNavigationPropertyName)",
		"property":        widget + "/EntitySetName",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := metaGet(t, s, target)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, []byte(body), "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			goldenFile(t, "metadata/"+name+".json", pretty.Bytes())
		})
	}
}

func TestMetadataIsFoundByIdAsWellAsByName(t *testing.T) {
	t.Parallel()
	s := widgetServer(t, Online)
	const byName = "EntityDefinitions(LogicalName='new_widget')"
	for _, below := range []string{"", "/Attributes(LogicalName='new_name')", "/Keys(LogicalName='new_namekey')", "/ManyToOneRelationships(SchemaName='new_widget_parent')"} {
		status, named := metaGet(t, s, byName+below)
		var found struct{ MetadataId string }
		if err := json.Unmarshal([]byte(named), &found); err != nil || status != http.StatusOK {
			t.Fatalf("%s: status %d, %v", below, status, err)
		}
		target := "EntityDefinitions(" + found.MetadataId + ")"
		if below != "" {
			collection, _, _ := strings.Cut(below, "(")
			target = byName + collection + "(" + strings.ToUpper(found.MetadataId) + ")"
		}
		if _, byID := metaGet(t, s, target); byID != named {
			t.Errorf("%s and %s differ:\n%s\n%s", byName+below, target, named, byID)
		}
	}
}

func TestMetadataFiltersCompareEveryPrimitiveAndEnumeration(t *testing.T) {
	t.Parallel()
	s := widgetServer(t, Online)
	const attributes = "EntityDefinitions(LogicalName='new_widget')/Attributes"
	for filter, want := range map[string]string{
		"LogicalName eq 'new_name'":                                                            "new_name",
		"LogicalName eq 'NEW_NAME'":                                                            "",
		"not (LogicalName ne 'new_name')":                                                      "new_name",
		"AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Money'":                     "new_price",
		"AttributeTypeName/Value eq 'MultiSelectPicklistType'":                                 "new_tags",
		"RequiredLevel/Value eq Microsoft.Dynamics.CRM.AttributeRequiredLevel'SystemRequired'": "new_widgetid,ownerid",
		"IsValidForCreate eq false":                                                            "versionnumber",
		"IsPrimaryId eq true or IsPrimaryName eq true":                                         "new_widgetid,new_name",
		"(IsPrimaryId eq true or IsPrimaryName eq true) and LogicalName eq 'new_name'":         "new_name",
		"ColumnNumber ge 2 and ColumnNumber lt 4":                                              "new_name,new_notes",
		"AttributeOf ne null":                                                                  "",
		"AttributeOf eq null and ColumnNumber eq 1":                                            "new_widgetid",
		"MetadataId eq " + string(metadataID("column", "new_widget", "new_used")):              "new_used",
	} {
		status, body := metaGet(t, s, attributes+"?$select=LogicalName&$filter="+filter)
		var page struct {
			Value []struct{ LogicalName string }
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
			t.Errorf("%s: status %d: %s", filter, status, body)
			continue
		}
		var names []string
		for _, v := range page.Value {
			names = append(names, v.LogicalName)
		}
		if got := strings.Join(names, ","); got != want {
			t.Errorf("%s: got %q, want %q", filter, got, want)
		}
	}
}

func TestMetadataRefusesWhatItDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := widgetServer(t, Online)
	const widget = "EntityDefinitions(LogicalName='new_widget')"
	for target, want := range map[string]int{
		"EntityDefinitions(LogicalName='nope')":                                                      404,
		"EntityDefinitions(00000000-0000-0000-0000-000000000001)":                                    404,
		"EntityDefinitions(Name='x')":                                                                400,
		"EntityDefinitions/Attributes":                                                               404,
		widget + "/Nope":                                                                             404,
		widget + "/Attributes(LogicalName='nope')":                                                   404,
		widget + "/Attributes/Microsoft.Dynamics.CRM.NopeAttributeMetadata":                          404,
		widget + "/Attributes/Microsoft.Dynamics.CRM.AttributeMetadata":                              404,
		widget + "/Attributes(LogicalName='new_name')/Microsoft.Dynamics.CRM.MoneyAttributeMetadata": 404,
		widget + "/Attributes(LogicalName='new_name')/OptionSet":                                     404,
		widget + "/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata?$expand=OptionSet":      400,
		widget + "/Attributes?$expand=OptionSet":                                                     400,
		widget + "/Attributes?$select=MaxLength":                                                     400, // needs a cast
		widget + "/Attributes?$filter=MaxLength eq 3":                                                400,
		widget + "/Attributes?$filter=AttributeType eq 'Picklist'":                                   400, // a text is not an enumeration
		widget + "/Attributes?$filter=DisplayName eq 'x'":                                            400,
		widget + "/Attributes?$filter=startswith(LogicalName,'new')":                                 501,
		widget + "/Attributes?$filter=LogicalName gt 'a'":                                            501,
		widget + "/Attributes?$filter=LogicalName eq 'a":                                             400,
		widget + "/Attributes?$filter=LogicalName":                                                   400,
		widget + "/Attributes?$filter=LogicalName eq 'a' LogicalName":                                400,
		widget + "/Attributes?$filter=" + strings.Repeat("(", 40) + "a eq 1":                         400,
		widget + "?$filter=LogicalName eq 'x'":                                                       400,
		widget + "?$select=Nope":                                                                     400,
		widget + "?$select=":                                                                         400,
		widget + "?$expand=Nope":                                                                     400,
		widget + "?$expand=Keys($select=Nope)":                                                       400,
		widget + "?$expand=Keys($top=1)":                                                             400,
		widget + "?$expand=Keys($expand=Keys)":                                                       400,
		widget + "?$expand=Keys(":                                                                    400,
		"EntityDefinitions?$top=1":                                                                   400,
		"EntityDefinitions?$orderby=LogicalName":                                                     400,
		"EntityDefinitions?$skip=1":                                                                  400,
		"EntityDefinitions?$select=%zz":                                                              400,
		"EntityDefinitions?$select=" + strings.Repeat("x", maxMetaQuery):                             414,
	} {
		status, body := metaGet(t, s, target)
		if status != want {
			t.Errorf("%.120s: status %d, want %d: %s", target, status, want, body)
		}
		var envelope struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(body), &envelope); err != nil || envelope.Error.Message == "" {
			t.Errorf("%.120s: not an error envelope: %s", target, body)
		}
	}
}

func TestMetadataCountsAndIgnoresOptionsThatAreNotOData(t *testing.T) {
	t.Parallel()
	status, body := metaGet(t, widgetServer(t, Online), "EntityDefinitions(LogicalName='new_widget')/Keys?$count=true&$select=LogicalName&LabelLanguages=1033&api-version=9.2")
	if status != http.StatusOK || !strings.Contains(body, `"@odata.count":2,"value":[`) {
		t.Errorf("status %d: %s", status, body)
	}
}

func TestEveryColumnTypeHasFactsThatAgree(t *testing.T) {
	t.Parallel()
	for typ, facts := range columnFacts {
		if facts.cast == "" || facts.typeCode == "" || facts.typeName == "" {
			t.Errorf("%s: facts missing", typ)
		}
		if !strings.HasSuffix(facts.cast, "AttributeMetadata") || !strings.HasSuffix(facts.typeName, "Type") {
			t.Errorf("%s: names %s, %s", typ, facts.cast, facts.typeName)
		}
		if facts.cast != "AttributeMetadata" {
			if sample, ok := castSample(facts.cast); !ok || columnFacts[sample].cast != facts.cast {
				t.Errorf("%s: cast %s leads to %s", typ, facts.cast, sample)
			}
		}
	}
}

func FuzzMetadataQuery(f *testing.F) {
	f.Add("$select=LogicalName&$filter=LogicalName eq 'a' and not (IsPrivate eq true)")
	f.Add("$expand=Attributes($select=LogicalName;$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'),Keys")
	f.Add("$filter=((MetadataId eq 00000000-0000-0000-0000-000000000001))")
	object := entityObject(&schema.Table{LogicalName: "account", SchemaName: "Account", EntitySet: "accounts"})
	f.Fuzz(func(t *testing.T, raw string) {
		q, e := parseMetaQuery(raw)
		if e != nil {
			if e.Status < 400 || e.Message == "" {
				t.Errorf("refused with %+v", e)
			}
			return
		}
		if q.check("EntityMetadata", object, true) != nil || q.filter == nil {
			return
		}
		if _, e := q.filter.matches(object); e != nil && e.Status < 400 {
			t.Errorf("evaluated to %+v", e)
		}
	})
}

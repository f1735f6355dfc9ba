package sim

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"cebridge/schema"
)

func TestCSDLHasTheShapeOfTheServiceDocument(t *testing.T) {
	t.Parallel()
	tables, err := LoadSchema([]byte(widgetSchema))
	if err != nil {
		t.Fatal(err)
	}
	goldenFile(t, "metadata/csdl.xml", csdlDocument(tables, false))
	goldenFile(t, "metadata/csdl_annotated.xml", csdlDocument(tables, true))
}

func TestCSDLIsWellFormedAndComplete(t *testing.T) {
	t.Parallel()
	tables, err := DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(string(csdlDocument(tables, true))))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok {
			counts[start.Name.Local]++
		}
	}
	if counts["EntitySet"] != len(tables) || counts["Schema"] != 1 || counts["EntityContainer"] != 1 {
		t.Errorf("elements: %v", counts)
	}
	properties := 1 // ownerid of principal
	for _, table := range tables {
		properties += len(table.Columns)
	}
	// WhoAmIResponse has three of its own, RetrieveVersionResponse one.
	if counts["Property"] != properties+4 {
		t.Errorf("%d properties, want %d", counts["Property"], properties+4)
	}
}

func TestEveryPartnerInTheCSDLIsAPropertyOfTheTypeItPointsAt(t *testing.T) {
	t.Parallel()
	tables, err := DefaultSchema()
	if err != nil {
		t.Fatal(err)
	}
	type property struct{ Name, Type, Partner string }
	var doc struct {
		Types []struct {
			Name       string `xml:"Name,attr"`
			Properties []struct {
				Name    string `xml:"Name,attr"`
				Type    string `xml:"Type,attr"`
				Partner string `xml:"Partner,attr"`
			} `xml:"NavigationProperty"`
		} `xml:"DataServices>Schema>EntityType"`
	}
	if err := xml.Unmarshal(csdlDocument(tables, false), &doc); err != nil {
		t.Fatal(err)
	}
	byType := map[string]map[string]property{}
	checked := 0
	for _, typ := range doc.Types {
		byType[typ.Name] = map[string]property{}
		for _, p := range typ.Properties {
			if _, dup := byType[typ.Name][p.Name]; dup {
				t.Errorf("%s declares %s twice", typ.Name, p.Name)
			}
			byType[typ.Name][p.Name] = property(p)
		}
	}
	for name, properties := range byType {
		for _, p := range properties {
			target := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(p.Type, "Collection("), "mscrm."), ")")
			checked++
			if back, ok := byType[target][p.Partner]; !ok || back.Partner != p.Name {
				t.Errorf("%s.%s: its partner %s.%s points to %q", name, p.Name, target, p.Partner, back.Partner)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d navigation properties", checked)
	}
}

func TestCSDLEscapesWhatASchemaFileMayHold(t *testing.T) {
	t.Parallel()
	doc := string(csdlDocument([]*schema.Table{{LogicalName: `a"<&`, PrimaryID: "id", EntitySet: "%s>", Columns: []schema.Column{{LogicalName: "id", Type: schema.TypeUniqueID}}}}, true))
	if err := xml.Unmarshal([]byte(doc), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("not well-formed: %v", err)
	}
	if !strings.Contains(doc, `Name="a&#34;&lt;&amp;"`) || !strings.Contains(doc, `Name="%s&gt;"`) {
		t.Errorf("not escaped:\n%s", doc)
	}
}

func TestCSDLAnnotationsComeOnlyOnRequest(t *testing.T) {
	t.Parallel()
	s := widgetServer(t, Online)
	status, bare := metaGet(t, s, "$metadata")
	if status != http.StatusOK || strings.Contains(bare, "<Annotation") {
		t.Errorf("status %d, annotations %v", status, strings.Contains(bare, "<Annotation"))
	}
	_, annotated := metaGet(t, s, "$metadata?annotations=true")
	for _, want := range []string{
		`<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking">`, `<Annotation Term="OData.Community.Keys.V1.AlternateKeys">`,
		`<Annotation Term="Org.OData.Core.V1.Computed" Bool="true" />`, `PropertyPath="new_name"`,
	} {
		if !strings.Contains(annotated, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(annotated, `PropertyPath="new_count"`) {
		t.Error("a pending key is announced")
	}
}

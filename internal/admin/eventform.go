package admin

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"reveille/internal/event"
)

// Names of events in a stream that are about the stream itself; their data is empty.
const (
	eventsMissing = "missing"
	eventsSlow    = "slow"
)

// eventStream describes the stream of events: a list of messages, each of which has the
// lines id, event and data. Every type of event has its form among the schemas of the
// document, by what its data holds.
func (a *api) eventStream() *huma.Schema {
	registry := a.huma.OpenAPI().Components.Schemas
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	message := func(doc string, required []string, properties map[string]*huma.Schema) *huma.Schema {
		return &huma.Schema{Type: huma.TypeObject, Description: doc, Properties: properties, Required: required}
	}
	stream := text("The name of the message; missing: some events since Last-Event-ID are no longer kept. slow: events came faster than they were read, and the stream ends.")
	stream.Enum = []any{eventsMissing, eventsSlow}
	registry.Map()["Event"] = a.eventForm(registry)
	return &huma.Schema{
		Type: huma.TypeArray, Description: "Server-sent events: each item is a message, whose data is JSON. Lines that begin with a colon say nothing.",
		Items: &huma.Schema{OneOf: []*huma.Schema{
			message("What happened.", []string{"id", "event", "data"}, map[string]*huma.Schema{
				"id": text("The id of the event, for Last-Event-ID."), "event": text("The type of the event."), "data": {Ref: "#/components/schemas/Event"},
			}),
			message("Something about the stream.", []string{"event", "data"}, map[string]*huma.Schema{"event": stream, "data": {Type: huma.TypeObject}}),
		}},
	}
}

// eventForm registers a schema for each form of event, and returns that of any event.
func (a *api) eventForm(registry huma.Registry) *huma.Schema {
	const refs = "#/components/schemas/"
	forms := map[reflect.Type]*huma.Schema{}
	whole := &huma.Schema{
		Description:   "Something that happened: type says what, and which form the rest has.",
		Discriminator: &huma.Discriminator{PropertyName: "type", Mapping: map[string]string{}},
	}
	for _, t := range event.Types() {
		data := t.DataType()
		name := strings.TrimSuffix(data.Name(), "Data") + "Event"
		form := forms[data]
		if form == nil {
			form = huma.SchemaFromType(registry, reflect.TypeFor[event.Envelope]())
			form.Properties["data"] = registry.Schema(data, true, "")
			forms[data], registry.Map()[name] = form, form
			whole.OneOf = append(whole.OneOf, &huma.Schema{Ref: refs + name})
		}
		kind := form.Properties["type"]
		kind.Enum = append(kind.Enum, t.Name)
		kind.Description += "; " + t.Name + ": " + t.Doc
		whole.Discriminator.Mapping[t.Name] = refs + name
	}
	return whole
}

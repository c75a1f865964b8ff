package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type documentReply struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// finish registers the document of the API itself. It is the last: nothing is
// registered afterwards.
func (a *api) finish() error {
	forms := []struct {
		id, path, kind string
		make           func() ([]byte, error)
		done           []byte
	}{
		{id: "openapi-json", path: "/openapi.json", kind: "application/openapi+json", make: func() ([]byte, error) { return json.Marshal(a.huma.OpenAPI()) }},
		{id: "openapi-yaml", path: "/openapi.yaml", kind: "application/openapi+yaml", make: func() ([]byte, error) { return a.huma.OpenAPI().YAML() }},
	}
	for i := range forms {
		f := &forms[i]
		op := call{id: f.id, method: http.MethodGet, path: f.path, tag: "document", summary: "This document"}
		document(a, op, f.kind, func() []byte { return f.done })
	}
	for _, s := range a.huma.OpenAPI().Components.Schemas.Map() {
		neverNull(s)
	}
	for i := range forms {
		var err error
		if forms[i].done, err = forms[i].make(); err != nil {
			a.wrong = append(a.wrong, err)
		}
	}
	return errors.Join(a.wrong...)
}

// document registers a form of the document.
func document(a *api, c call, kind string, text func() []byte) {
	op := a.operation(Read, c, false)
	op.Responses = map[string]*huma.Response{"200": {
		Description: http.StatusText(http.StatusOK),
		Content:     map[string]*huma.MediaType{kind: {Schema: &huma.Schema{}}},
	}}
	huma.Register(a.huma, op, func(context.Context, *nothing) (*documentReply, error) {
		return &documentReply{kind, text()}, nil
	})
}

// neverNull says that lists in answers are lists, be they empty.
func neverNull(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	neverNull(s.Items)
	for _, p := range s.Properties {
		neverNull(p)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		neverNull(more)
	}
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/yaml"
)

type documentReply struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// finish registers the document of the API itself. It is the last: nothing is
// registered afterwards.
func (a *api) finish() error {
	// It is made when somebody asks for it, for most servers are never asked, and
	// making it takes longer than all else that a server does before it starts.
	asJSON := sync.OnceValues(func() ([]byte, error) { return json.Marshal(a.huma.OpenAPI()) })
	asYAML := sync.OnceValues(func() ([]byte, error) {
		text, err := asJSON()
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		err = yaml.Convert(&b, bytes.NewReader(text))
		return b.Bytes(), err
	})
	document(a, call{id: "openapi-json", method: http.MethodGet, path: "/openapi.json", tag: "document", summary: "This document"}, "application/openapi+json", asJSON)
	document(a, call{id: "openapi-yaml", method: http.MethodGet, path: "/openapi.yaml", tag: "document", summary: "This document"}, "application/openapi+yaml", asYAML)
	for _, s := range a.huma.OpenAPI().Components.Schemas.Map() {
		neverNull(s)
	}
	return errors.Join(a.wrong...)
}

// document registers a form of the document.
func document(a *api, c call, kind string, text func() ([]byte, error)) {
	op := a.operation(Read, c, false)
	op.Responses = map[string]*huma.Response{"200": {
		Description: http.StatusText(http.StatusOK),
		Content:     map[string]*huma.MediaType{kind: {Schema: &huma.Schema{}}},
	}}
	huma.Register(a.huma, op, func(ctx context.Context, _ *nothing) (*documentReply, error) {
		b, err := text()
		if err != nil {
			return nil, a.answer(ctx, err)
		}
		return &documentReply{kind, b}, nil
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

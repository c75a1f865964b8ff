package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// prefix is that of the paths of the API.
const prefix = "/v1"

// An api is the calls below /v1, served on the address and on the socket alike. Each
// is registered by query, change or streams, which take the role that it needs.
type api struct {
	huma huma.API
	mux  *http.ServeMux
	log  *slog.Logger
	// ending ends when the Server stops: what goes on without end must end.
	ending  context.Context //nolint:containedctx // It is that of the server, not of a request.
	calls   []registered
	wrong   []error
	metrics *metrics
	audit   func(Change)
}

// registered is what is known of a call after it was registered.
type registered struct {
	call
	role    Role
	changes bool
}

// A call is how an operation is asked for, and what is said of it in the document.
type call struct {
	// id names it in the document, in metrics and in the audit log: lift-ban.
	id string
	// method is that of HTTP; path begins behind /v1.
	method, path string
	// tag is the chapter of the document; summary is a line, doc more than that.
	tag, summary, doc string
	// errors are the statuses that it answers with besides those of every call.
	errors []int
	// maxBody bounds the request in bytes; 0: maxRequest.
	maxBody int64
	// takes is how long an answer may take; 0: as long as any.
	takes time.Duration
	// reporter: those with Access.Reporter may ask, too.
	reporter bool
	// stream describes what streams answers with; nil: text.
	stream *huma.Schema
}

// maxRequest bounds the body of a request in bytes, unless its call says otherwise.
const maxRequest = 32 << 10

func newAPI(log *slog.Logger, m *metrics, audit func(Change)) *api {
	a := &api{mux: http.NewServeMux(), log: log, metrics: m, audit: audit}
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "reveille", Version: "1", Description: "What operators ask and tell a server. Each call says which role it takes: read, operate or admin, of which each includes those before it."},
			Servers: []*huma.Server{{URL: prefix}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token":       {Type: "http", Scheme: "bearer", Description: "A token of http.tokens."},
					"certificate": {Type: "mutualTLS", Description: "A client certificate that http.certificates names."},
				},
			},
		},
		Formats: formats(), DefaultFormat: "application/json",
		Transformers: []huma.Transformer{tidy, remember},
		// What is misspelt would be left out of account.
		RejectUnknownQueryParameters: true,
	}
	a.huma = humago.NewWithPrefix(a.mux, prefix, c)
	return a
}

// query registers a call that changes nothing.
func query[I, O any](a *api, role Role, c call, do func(context.Context, *I) (*O, error)) {
	register(a, role, c, false, do)
}

// targeted is the input of a change. It names what is changed, in the audit log: it
// must hold no secret.
type targeted[I any] interface {
	*I
	target() string
}

// change registers a call that changes something, which the audit log tells.
func change[I, O any, P targeted[I]](a *api, role Role, c call, do func(context.Context, *I) (*O, error)) {
	register(a, role, c, true, func(ctx context.Context, in *I) (*O, error) {
		exchangeOf(ctx).target = P(in).target()
		return do(ctx, in)
	})
}

// streams registers a call that answers with a stream of a content type that goes on
// until the client, open's function or the server ends it. open may refuse; what it
// returns writes the stream.
func streams[I any](a *api, role Role, c call, kind string, open func(context.Context, *I) (func(context.Context, http.ResponseWriter), error)) {
	c.takes = endless
	if c.stream == nil {
		c.stream = &huma.Schema{Type: huma.TypeString}
	}
	op := a.operation(role, c, false)
	op.Responses = map[string]*huma.Response{"200": {
		Description: http.StatusText(http.StatusOK),
		Content:     map[string]*huma.MediaType{kind: {Schema: c.stream}},
	}}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		write := func(context.Context, http.ResponseWriter) {}
		if !exchangeOf(ctx).head { // Nobody would read what is opened, and so end it.
			var err error
			if write, err = open(ctx, in); err != nil {
				return nil, a.answer(ctx, err)
			}
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // It has that of the request.
			_, w := humago.Unwrap(hc)
			ctx, cancel := until(hc.Context(), a.ending)
			defer cancel()
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back.
			write(ctx, w)
		}}, nil
	})
}

// discardWait is how long a peer may take to send what nobody asked for.
const discardWait = 5 * time.Second

// endless is the time of a call that ends when it ends.
const endless = time.Duration(1<<63 - 1)

// register registers a call.
func register[I, O any](a *api, role Role, c call, changes bool, do func(context.Context, *I) (*O, error)) {
	op := a.operation(role, c, changes)
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		x := exchangeOf(ctx)
		// A body that the call takes is read. A deadline for reading that passes would
		// look as if the peer had gone. The errors are those of a connection without
		// deadlines.
		_ = x.control.SetReadDeadline(time.Time{})
		// A body that it does not take is read before the answer is sent.
		defer func() { _ = x.control.SetReadDeadline(time.Now().Add(discardWait)) }()
		switch {
		case c.takes == endless:
			_ = x.control.SetWriteDeadline(time.Time{})
		case c.takes > 0:
			_ = x.control.SetWriteDeadline(time.Now().Add(c.takes + writeWait))
		}
		if c.takes > 0 {
			var cancel context.CancelFunc
			ctx, cancel = until(ctx, a.ending)
			defer cancel()
		}
		out, err := do(ctx, in)
		if err != nil {
			return nil, a.answer(ctx, err)
		}
		return out, nil
	})
}

// until returns a context that ends with either of two.
func until(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// answer makes a problem of an error. What has no status is logged: it is ours.
func (a *api) answer(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*Problem](err); !ok && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "call failed", "operation", exchangeOf(ctx).operation, "err", err)
	}
	if h, ok := errors.AsType[huma.HeadersError](err); ok {
		return huma.ErrorWithHeaders(asProblem(err), h.GetHeaders())
	}
	return asProblem(err)
}

// operation describes a call to huma, and has it done only for those who may.
func (a *api) operation(role Role, c call, changes bool) huma.Operation {
	if !role.valid() || c.id == "" || c.summary == "" || c.tag == "" {
		a.wrong = append(a.wrong, fmt.Errorf("admin: call %q lacks a role, a name, a tag or a summary", c.id))
	}
	if c.maxBody == 0 {
		c.maxBody = maxRequest
	}
	a.calls = append(a.calls, registered{c, role, changes})
	doc := fmt.Sprintf("Takes the role %s.", role)
	if c.doc != "" {
		doc = c.doc + " " + doc
	}
	errs := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError}
	if c.method != http.MethodGet && c.method != http.MethodDelete {
		errs = append(errs, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	roles := []string{role.String()}
	return huma.Operation{
		OperationID: c.id, Method: c.method, Path: c.path, Summary: c.summary, Description: doc, Tags: []string{c.tag},
		Errors: append(errs, c.errors...), MaxBodyBytes: c.maxBody,
		Security:    []map[string][]string{{"token": roles}, {"certificate": roles}},
		Extensions:  map[string]any{"x-role": role.String()},
		Middlewares: huma.Middlewares{a.allow(role, c, changes)},
	}
}

// allow passes on requests of those who have the role.
func (a *api) allow(role Role, c call, changes bool) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		x := exchangeOf(hc.Context())
		x.operation, x.changes = c.id, changes
		if x.who.Role >= role || x.who.Kind == KindReporter && c.reporter {
			next(hc)
			return
		}
		// RFC 6750 §3.1.
		hc.SetHeader("WWW-Authenticate", `Bearer realm="reveille", error="insufficient_scope"`)
		msg := fmt.Sprintf("this takes the role %s, and %s %s has %s", role, x.who.Kind, x.who.Name, x.who.Role)
		// There is nobody to tell that it could not be told.
		_ = huma.WriteErr(a.huma, hc, http.StatusForbidden, msg)
	}
}

// remember notes in the exchange what a problem says.
func remember(hc huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		exchangeOf(hc.Context()).problem = p.Detail
	}
	return v, nil
}

// ServeHTTP implements http.Handler for requests whose Principal is known. Where no
// call is, or none with the method, it answers with a problem as calls do.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would redirect; whoever writes such a path means something else.
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		writeProblem(w, http.StatusNotFound, errors.New("no such call: the path has empty parts or dots"))
		return
	}
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	found := &statusOnly{header: http.Header{}}
	h.ServeHTTP(found, r)
	if found.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", found.header.Get("Allow"))
		writeProblem(w, found.status, fmt.Errorf("there is no %s for this path", r.Method))
		return
	}
	writeProblem(w, http.StatusNotFound, errors.New("no such call: "+prefix+"/openapi.json lists all"))
}

// statusOnly takes an answer's status and header.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

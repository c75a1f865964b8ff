package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is the answer to a request that failed (RFC 9457), of type
// application/problem+json. Errors says for wrong input what is wrong, and where.
type Problem = huma.ErrorModel

// failure is err as an answer with a status.
func failure(status int, err error) error {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: err.Error()}
}

// invalid is the answer to input that has the right form and cannot be used. at is
// its place, such as body.kind or query.user.
func invalid(at string, err error) error {
	const status = http.StatusUnprocessableEntity
	return &Problem{
		Status: status, Title: http.StatusText(status), Detail: at + ": " + err.Error(),
		Errors: []*huma.ErrorDetail{{Location: at, Message: err.Error()}},
	}
}

// asProblem returns err as an answer. What has no status is a failure of ours.
func asProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError), Detail: err.Error()}
}

// tidy makes the problems that huma finds in input readable, and takes out of them
// what was sent: it may be a push token.
func tidy(_ huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*Problem)
	if !ok || len(p.Errors) == 0 {
		return v, nil
	}
	var said []string
	for _, e := range p.Errors {
		e.Value = nil
		s := e.Message
		if e.Location != "" {
			s = e.Location + ": " + s
		}
		said = append(said, s)
	}
	if p.Detail == "validation failed" || p.Detail == "unexpected error occurred" {
		p.Detail = strings.Join(said, "; ")
	}
	return p, nil
}

// writeProblem answers with a problem where huma is not reached.
func writeProblem(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The peer may be gone; there is nobody left to tell.
	_ = encode(w, asProblem(failure(status, err)))
}

// formats are JSON alone, also as the end of names such as application/problem+json.
func formats() map[string]huma.Format {
	f := huma.Format{Marshal: encode, Unmarshal: json.Unmarshal}
	return map[string]huma.Format{"application/json": f, "json": f}
}

// encode writes v as JSON. A peer who is gone is no error: there is nobody left to
// tell.
func encode(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, _ = w.Write(b.Bytes())
	return nil
}

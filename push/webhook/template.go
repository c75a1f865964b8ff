package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"

	"reveille/push"
)

// maxRendered bounds what a template makes, in bytes.
const maxRendered = 64 << 10

// fields are what templates see. All strings are escaped for the template's
// place before it runs.
type fields struct {
	Provider string            `json:"provider"`
	Param    string            `json:"param,omitempty"`
	PRID     string            `json:"prid"`
	Token    string            `json:"-"` // PRID by another name
	Use      string            `json:"use"`
	Kind     string            `json:"kind"`
	Method   string            `json:"method,omitempty"`
	AOR      string            `json:"aor"`
	CallID   string            `json:"call_id,omitempty"`
	PushID   string            `json:"push_id,omitempty"`
	Deadline int64             `json:"deadline"` // Unix seconds, 0 if none
	TTL      int64             `json:"ttl"`      // seconds
	Data     map[string]string `json:"data,omitempty"`
}

// newFields collects what r says. The Request itself is not given to templates:
// its other fields are none of theirs.
func newFields(r *push.Request, tok push.Token, now time.Time) fields {
	f := fields{
		Provider: r.Params.Provider, Param: r.Params.Param, PRID: tok.PRID, Token: tok.PRID, Use: tok.Use.String(),
		Kind: r.Kind.String(), Method: r.Method, AOR: r.AOR, CallID: r.CallID, PushID: r.PushID,
		TTL: int64(push.TTL(r, now) / time.Second), Data: r.Data,
	}
	if !r.Deadline.IsZero() {
		f.Deadline = r.Deadline.Unix()
	}
	return f
}

// escaped returns f with all strings passed through esc.
func (f fields) escaped(esc func(string) string) fields {
	for _, s := range []*string{&f.Provider, &f.Param, &f.PRID, &f.Token, &f.Use, &f.Kind, &f.Method, &f.AOR, &f.CallID, &f.PushID} {
		*s = esc(*s)
	}
	f.Data = maps.Clone(f.Data)
	for k, v := range f.Data {
		f.Data[k] = esc(v)
	}
	return f
}

// sample has what breaks a template that forgets about escaping.
func sample() fields {
	nasty := "a\"b\\c\n/../?x=1&y#z{}é"
	return fields{
		Provider: "acme", Param: nasty, PRID: nasty, Token: nasty, Use: "any", Kind: "call", Method: "INVITE",
		AOR: nasty, CallID: nasty, PushID: nasty, Deadline: 1, TTL: 1,
	}
}

// parse refuses templates that are none. What they name is tried by their first
// execution with sample.
func parse(name, text string) (*template.Template, error) {
	t, err := template.New(name).Option("missingkey=zero").Funcs(template.FuncMap{"json": quote}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("webhook: parse %s template: %w", name, err)
	}
	return t, nil
}

// quote is the template function json: for {{json .PRID}} in place of
// "{{.PRID}}". Strings are escaped already.
func quote(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return `"` + v + `"`, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	default:
		return "", errors.New("json: neither a string nor a number")
	}
}

// render runs t. Its errors quote the template, never the values.
func render(t *template.Template, f fields) (string, error) {
	var b limited
	if err := t.Execute(&b, f); err != nil {
		return "", fmt.Errorf("webhook: execute %s template: %w", t.Name(), err)
	}
	return b.String(), nil
}

// limited is a buffer that refuses more than maxRendered bytes.
type limited struct{ strings.Builder }

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > maxRendered {
		return 0, errors.New("result too long")
	}
	return l.Builder.Write(b)
}

// urlTemplate makes the URL. Scheme and host are fixed, so that no value can
// lead a push elsewhere.
type urlTemplate struct {
	template *template.Template
	prefix   string // up to the host
}

func newURLTemplate(text string) (*urlTemplate, error) {
	// What stands before the first action must hold the whole host: with
	// "https://push.example.com{{.Param}}" a phone could make it another.
	fixed, _, _ := strings.Cut(text, "{{")
	u, err := url.Parse(fixed)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, errors.New("webhook: URL is not http or https with a fixed host")
	}
	prefix := u.Scheme + "://"
	if u.User != nil {
		return nil, errors.New("webhook: URL with user; put it into a header")
	}
	prefix += u.Host
	if rest := strings.TrimPrefix(text, prefix); rest == text || (rest != "" && rest[0] != '/' && rest[0] != '?') {
		return nil, errors.New("webhook: URL's host is not fixed")
	}
	t, err := parse("url", text)
	if err != nil {
		return nil, err
	}
	ut := &urlTemplate{template: t, prefix: prefix}
	if _, err := ut.execute(sample()); err != nil {
		return nil, err
	}
	return ut, nil
}

func (t *urlTemplate) execute(f fields) (string, error) {
	s, err := render(t.template, f.escaped(escapeURL))
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(s, t.prefix) {
		return "", errors.New("webhook: URL template moves the host")
	}
	return s, nil
}

// escapeURL escapes for a path segment and a query value alike. A segment of
// dots alone would still climb.
func escapeURL(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// bodyTemplate makes the body; a nil template encodes all fields.
type bodyTemplate struct{ template *template.Template }

func newBodyTemplate(text string) (*bodyTemplate, error) {
	if text == "" {
		return &bodyTemplate{}, nil
	}
	t, err := parse("body", text)
	if err != nil {
		return nil, err
	}
	b, err := render(t, sample().escaped(escapeJSON))
	if err != nil {
		return nil, err
	}
	if !json.Valid([]byte(b)) {
		return nil, errors.New("webhook: body template does not make JSON")
	}
	return &bodyTemplate{t}, nil
}

func (t *bodyTemplate) execute(f fields) ([]byte, error) {
	if t.template == nil {
		b, err := json.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("encode body: %w", err)
		}
		return b, nil
	}
	s, err := render(t.template, f.escaped(escapeJSON))
	return []byte(s), err
}

// escapeJSON escapes for the inside of a JSON string.
func escapeJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return "" // strings always encode
	}
	return string(b[1 : len(b)-1])
}

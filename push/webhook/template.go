package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"reveille/push/internal/payload"
)

// maxBody bounds the body that a template makes, in bytes.
const maxBody = 64 << 10

// urlTemplate makes the URL. Scheme and host are fixed, so that no value can
// lead a push elsewhere.
type urlTemplate struct {
	template *payload.Template
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
	t, err := payload.URL("url", text)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	ut := &urlTemplate{template: t, prefix: prefix}
	if err := try(ut.execute); err != nil {
		return nil, err
	}
	return ut, nil
}

func (t *urlTemplate) execute(f payload.Fields) (string, error) {
	b, err := t.template.Execute(f)
	if err != nil {
		return "", fmt.Errorf("webhook: %w", err)
	}
	s := string(b)
	if !strings.HasPrefix(s, t.prefix) {
		return "", errors.New("webhook: URL template moves the host")
	}
	return s, nil
}

// bodyTemplate makes the body; a nil template encodes all fields.
type bodyTemplate struct{ template *payload.Template }

func newBodyTemplate(text string) (*bodyTemplate, error) {
	if text == "" {
		return &bodyTemplate{}, nil
	}
	t, err := payload.JSON("body", text)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	bt := &bodyTemplate{t}
	return bt, try(bt.execute)
}

func (t *bodyTemplate) execute(f payload.Fields) ([]byte, error) {
	if t.template == nil {
		b, err := json.Marshal(f)
		if err != nil {
			return nil, fmt.Errorf("encode body: %w", err)
		}
		return b, nil
	}
	b, err := t.template.JSON(f, maxBody)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return b, nil
}

// try executes a template as all kinds of requests will.
func try[T any](execute func(payload.Fields) (T, error)) error {
	for _, r := range payload.Samples("webhook") {
		tok, _ := r.Token()
		if _, err := execute(payload.NewFields(r, tok, time.Now())); err != nil {
			return err
		}
	}
	return nil
}

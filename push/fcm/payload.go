package fcm

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"reveille/push"
	"reveille/push/internal/payload"
)

// maxData bounds the data of a message in bytes. FCM takes 4096 for all of it.
const maxData = 3584

// dataMaker makes the data of messages.
type dataMaker struct {
	template *payload.Template // nil: the usual data
}

// newData reads the template of the data and tries it with requests of all
// kinds.
func newData(text string) (dataMaker, error) {
	if text == "" {
		return dataMaker{}, nil
	}
	t, err := payload.JSON("template", text)
	if err != nil {
		return dataMaker{}, fmt.Errorf("fcm: %w", err)
	}
	for _, r := range payload.Samples("fcm") {
		tok, _ := r.Token()
		if _, err := templated(t, r, tok, time.Now()); err != nil {
			return dataMaker{}, fmt.Errorf("fcm: %w", err)
		}
	}
	return dataMaker{t}, nil
}

// of is the data of r. What a template makes wrong or too long is made again
// without Data, and then without the template: to wake the phone is worth more.
func (m dataMaker) of(r *push.Request, tok push.Token, now time.Time) map[string]string {
	if m.template == nil {
		return plain(r)
	}
	bare := *r
	bare.Data = nil
	for _, r := range []*push.Request{r, &bare} {
		if d, err := templated(m.template, r, tok, now); err == nil {
			return d
		}
	}
	return plain(&bare)
}

// templated is the data that a template makes.
func templated(t *payload.Template, r *push.Request, tok push.Token, now time.Time) (map[string]string, error) {
	// Quotes and braces do not count for maxData, but bound what is decoded.
	b, err := t.JSON(payload.NewFields(r, tok, now), 2*maxData)
	if err != nil {
		return nil, err
	}
	var d map[string]string
	if err := json.Unmarshal(b, &d); err != nil || d == nil {
		return nil, fmt.Errorf("template: makes no JSON object of strings for a push of kind %s; put numbers in quotes, too", r.Kind)
	}
	for k := range d {
		if reserved(k) {
			return nil, fmt.Errorf("template: key %q is reserved by FCM; use another", k)
		}
	}
	if n := size(d); n > maxData {
		return nil, fmt.Errorf("template: makes %d bytes of data for a push of kind %s, more than the %d that are allowed", n, r.Kind, maxData)
	}
	return d, nil
}

// plain is the data without a template. Keys that FCM reserves are left out, and
// all of r.Data if it does not fit.
func plain(r *push.Request) map[string]string {
	d := push.Payload(r)
	for k := range d {
		if reserved(k) {
			delete(d, k)
		}
	}
	if size(d) > maxData {
		bare := *r
		bare.Data = nil
		return push.Payload(&bare)
	}
	return d
}

func size(d map[string]string) (n int) {
	for k, v := range d {
		n += len(k) + len(v)
	}
	return n
}

// reserved reports whether FCM refuses data with this key.
func reserved(key string) bool {
	return key == "" || key == "from" || key == "message_type" || key == "collapse_key" ||
		strings.HasPrefix(key, "google") || strings.HasPrefix(key, "gcm")
}

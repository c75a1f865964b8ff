package configs

import (
	"fmt"
	"regexp"
	"strings"
)

// OTLP says where OpenTelemetry's spans of requests that met a sleeping phone go.
type OTLP struct {
	// Endpoint is the URL of the collector; empty tells nobody.
	Endpoint string `yaml:"endpoint"`
	// Ratio of the requests that are told of.
	Ratio float64 `yaml:"ratio" range:"0..1"`
	// Headers go with each request to the collector.
	Headers []OTLPHeader `yaml:"headers"`
}

// OTLPHeader is a header field of HTTP, such as one with a key.
type OTLPHeader struct {
	Name string `yaml:"name"`
	// Value comes from the file or the environment, if it is a secret.
	Value     Secret     `yaml:"value"`
	ValueFile SecretFile `yaml:"value_file"`
}

// headerName is a name of a header field of HTTP.
var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

func (l *loader) checkOTLP(o *OTLP) {
	for i := range o.Headers {
		h, at := &o.Headers[i], fmt.Sprintf("otlp.headers[%d]", i)
		if !headerName.MatchString(h.Name) {
			l.errorAt(at+".name", fmt.Sprintf("%q is no name of a header field", h.Name), "")
		}
		l.checkSecretPair(at+".value", h.ValueFile, &h.Value)
	}
	if o.Endpoint == "" {
		return
	}
	l.checkURL("otlp.endpoint", o.Endpoint, "https://host:4318/v1/traces", "https", "http")
	if strings.HasPrefix(o.Endpoint, "http://") && !onThisMachine(o.Endpoint) {
		l.warnAt("otlp.endpoint", "tells who calls whom without TLS", "write https://")
	}
}

package main

import (
	"html/template"
	"net/http"
	"slices"

	"reveille/push/pushsim"
)

// pageText shows the latest push first. It loads nothing from elsewhere.
const pageText = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>pnsim</title><meta http-equiv="refresh" content="2">
<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ccc;text-align:left}
.bad{color:#b00}code{word-break:break-all}</style></head><body>
<h1>{{len .Pushes}} pushes</h1>
<table><tr><th>time</th><th>provider</th><th>app</th><th>kind</th><th>type</th><th>priority</th><th>push id</th><th>answer</th>{{if .Tokens}}<th>token</th><th>payload</th>{{end}}</tr>
{{range .Pushes}}<tr><td>{{.Time.Format "15:04:05.000"}}</td><td>{{.Provider}}</td><td>{{.App}}</td><td>{{.Kind}}</td><td>{{.PushType}}</td><td>{{.Priority}}</td><td>{{.PushID}}</td>
<td{{if or (lt .Status 200) (gt .Status 299)}} class="bad"{{end}}>{{.Status}} {{.Reason}}</td>{{if $.Tokens}}<td><code>{{.Token}}</code></td><td><code>{{.Payload}}</code></td>{{end}}</tr>
{{end}}</table></body></html>
`

// page shows what sim received.
func page(sim *pushsim.Server, showTokens bool) http.Handler {
	t := template.Must(template.New("page").Parse(pageText))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		pushes := sim.Pushes()
		slices.Reverse(pushes)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		// The browser may be gone; there is nobody to tell.
		_ = t.Execute(w, struct {
			Pushes []pushsim.Push
			Tokens bool
		}{pushes, showTokens})
	})
	return mux
}

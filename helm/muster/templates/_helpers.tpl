{{- define "muster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "muster.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "muster.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select; never changed, or upgrades fail. */}}
{{- define "muster.selector" -}}
app.kubernetes.io/name: {{ include "muster.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "muster.labels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* On pods: without the chart's version, so that a new chart alone restarts nobody. */}}
{{- define "muster.podLabels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "muster.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "muster.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "muster.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "muster.secret" -}}
{{- default (include "muster.fullname" .) .Values.secret.existing -}}
{{- end -}}

{{/* The Secret that the migration reads: a hook runs before what the chart installs is there. */}}
{{- define "muster.migrateSecret" -}}
{{- if or .Values.secret.existing (not .Values.migrate.hook) -}}
{{- include "muster.secret" . -}}
{{- else -}}
{{- printf "%s-migrate" (include "muster.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "muster.variable" -}}
MUSTER_{{ . | upper | replace "-" "_" }}
{{- end -}}

{{/* The secret settings beside store and postgres, by their value's name. */}}
{{- define "muster.secretKeys" -}}
dispatchSecret: dispatch-secret
logsAddToken: logs-add-token
logsListenToken: logs-listen-token
chatJwtSecret: chat-jwt-secret
minigameToken: minigame-token
webhookToken: webhook-token
relaySecret: relay-secret
relayStatusToken: relay-status-token
statusToken: status-token
{{- end -}}

{{/* What has a value of its own must not come in by the side door. */}}
{{- define "muster.check" -}}
{{- $owned := list "http" "admin" "drain" "store" "postgres" "relay" "tracker" "dispatch-ports" "dispatch-bind" "dispatch-proxy" -}}
{{- $owned = concat $owned (values (include "muster.secretKeys" . | fromYaml)) -}}
{{- range $name, $value := .Values.settings -}}
{{- if has $name $owned -}}
{{- fail (printf "settings.%s: this one has a value of its own; see the chart's README" $name) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.secret.existing -}}
{{- if not .Values.secret.store -}}
{{- fail "secret.store is needed: the URL of Redis, or secret.existing with the key store" -}}
{{- end -}}
{{- if and .Values.sink.enabled (not .Values.secret.postgres) -}}
{{- fail "secret.postgres is needed: a connection URI, or secret.existing with the key postgres, or sink.enabled=false" -}}
{{- end -}}
{{- if and .Values.sink.enabled .Values.migrate.enabled (ne .Values.migrate.postgresKey "postgres") (not .Values.migrate.postgres) -}}
{{- fail "migrate.postgres is needed beside migrate.postgresKey" -}}
{{- end -}}
{{- if hasPrefix "memory:" .Values.secret.store -}}
{{- fail "secret.store: nodes with memory: know nothing of each other; use Redis" -}}
{{- end -}}
{{- end -}}
{{- if .Values.dispatch.enabled -}}
{{- $ends := splitList "-" .Values.dispatch.range -}}
{{- range .Values.dispatch.ports -}}
{{- if or (lt (int .port) (int (first $ends))) (gt (int .port) (int (last $ends))) -}}
{{- fail (printf "dispatch.ports: %d is not in dispatch.range" (int .port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings and the store: what every verb gets. */}}
{{- define "muster.env" -}}
{{- include "muster.check" . -}}
{{- range $name, $value := .Values.settings }}
- name: {{ include "muster.variable" $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "muster.envSecret" -}}
- name: {{ include "muster.variable" .key }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .from | default .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{- define "muster.nodeEnv" -}}
{{- $root := . -}}
{{- $secret := include "muster.secret" . -}}
{{ include "muster.env" . | trim }}
- name: MUSTER_HTTP
  value: {{ printf "%s:%d" .Values.listen (int .Values.ports.http) | quote }}
- name: MUSTER_ADMIN
  value: {{ printf "%s:%d" .Values.listen (int .Values.ports.admin) | quote }}
- name: MUSTER_DRAIN
  value: {{ printf "%ds" (int .Values.drain.seconds) | quote }}
- name: MUSTER_RELAY
  value: {{ include "muster.relay" . | quote }}
- name: MUSTER_TRACKER
  value: {{ if .Values.tracker.enabled }}{{ printf "%s:%d" .Values.listen (int .Values.tracker.port) | quote }}{{ else }}""{{ end }}
- name: MUSTER_DISPATCH_PORTS
  value: {{ if .Values.dispatch.enabled }}{{ .Values.dispatch.range | quote }}{{ else }}""{{ end }}
{{- if .Values.dispatch.enabled }}
- name: MUSTER_DISPATCH_BIND
  value: {{ .Values.listen | trimPrefix "[" | trimSuffix "]" | quote }}
{{- end }}
{{- if and .Values.dispatch.enabled .Values.dispatch.proxy }}
- name: MUSTER_DISPATCH_PROXY
  value: {{ join "," .Values.dispatch.proxy | quote }}
{{- end }}
{{ include "muster.envSecret" (dict "key" "store" "secret" $secret) }}
{{- if .Values.sink.enabled }}
{{ include "muster.envSecret" (dict "key" "postgres" "secret" $secret) }}
{{- end }}
{{- range $key := values (include "muster.secretKeys" . | fromYaml) | sortAlpha }}
{{ include "muster.envSecret" (dict "key" $key "secret" $secret "optional" true) }}
{{- end }}
{{- range include "muster.chatKeyList" . | fromYamlArray }}
- name: {{ ternary "MUSTER_CHAT_JWT_KEY" "MUSTER_CHAT_JWKS" (eq . "jwt.pem") }}
  value: /etc/muster/chat/{{ . }}
{{- end }}
{{- with concat .Values.extraEnv .Values.node.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The relay's listeners as the setting wants them; empty: off. */}}
{{- define "muster.relay" -}}
{{- $binds := list -}}
{{- if .Values.relay.enabled -}}
{{- range .Values.relay.networks -}}
{{- $bind := printf "%s:%d" $.Values.listen (int .port) -}}
{{- $binds = append $binds (ternary (printf "%s=%s" (.name | default "") $bind) $bind (not (empty .name))) -}}
{{- end -}}
{{- end -}}
{{- join "," $binds -}}
{{- end -}}

{{- define "muster.relayPortName" -}}
{{- if .name }}{{ printf "r-%d" (int .port) }}{{ else }}relay{{ end -}}
{{- end -}}

{{/* Which files with keys of access tokens there are. */}}
{{- define "muster.chatKeyList" -}}
{{- $keys := list -}}
{{- if .Values.chatKeys.existing -}}
{{- $keys = .Values.chatKeys.existingKeys -}}
{{- else -}}
{{- if .Values.chatKeys.pem }}{{- $keys = append $keys "jwt.pem" -}}{{- end -}}
{{- if .Values.chatKeys.jwks }}{{- $keys = append $keys "jwks.json" -}}{{- end -}}
{{- end -}}
{{- toYaml $keys -}}
{{- end -}}

{{- define "muster.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where pods go: of = the values of node or sink, component = its label. */}}
{{- define "muster.placement" -}}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $root := .root }}{{ $component := .component }}
{{- with .of.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - labelSelector:
      matchLabels:
        {{- include "muster.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $component }}
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "muster.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  {{- toYaml .Values.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
{{- end -}}

{{/* What the Services for clients have in common: service = their values. */}}
{{- define "muster.serviceSpec" -}}
type: {{ .service.type }}
{{- with .root.Values.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- if has .service.type (list "NodePort" "LoadBalancer") }}
externalTrafficPolicy: {{ .service.externalTrafficPolicy }}
{{- end }}
{{- if eq .service.type "LoadBalancer" }}
{{- with .service.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .service.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
selector:
  {{- include "muster.selector" .root | nindent 2 }}
  app.kubernetes.io/component: node
{{- end -}}

{{/* Rules that both NetworkPolicies have. */}}
{{- define "muster.metricsFrom" -}}
- from:
    {{- if .Values.networkPolicy.metrics }}
    {{- toYaml .Values.networkPolicy.metrics | nindent 4 }}
    {{- else }}
    - podSelector: {}
    {{- end }}
  ports:
    - {port: metrics, protocol: TCP}
{{- end -}}

{{- define "muster.egress" -}}
egress:
  - ports:
      - {port: 53, protocol: UDP}
      - {port: 53, protocol: TCP}
  - ports:
      {{- range .Values.networkPolicy.egress.storePorts }}
      - {port: {{ . }}, protocol: TCP}
      {{- end }}
    {{- with .Values.networkPolicy.egress.store }}
    to:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  - ports:
      {{- range .Values.networkPolicy.egress.postgresPorts }}
      - {port: {{ . }}, protocol: TCP}
      {{- end }}
    {{- with .Values.networkPolicy.egress.postgres }}
    to:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- with .Values.networkPolicy.egress.extra }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

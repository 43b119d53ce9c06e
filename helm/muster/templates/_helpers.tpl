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
{{- $repository := .Values.image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* A value as text. Numbers of a values file are floats, which Go prints as 2e+06 from a million on. */}}
{{- define "muster.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* "yes" where Helm can ask a cluster: `helm template` and a dry run of the client cannot. */}}
{{- define "muster.live" -}}
{{- if lookup "apps/v1" "Deployment" .Release.Namespace "" -}}yes{{- end -}}
{{- end -}}

{{/* First part of every key in Redis: two releases on one Redis are two fleets. */}}
{{- define "muster.storePrefix" -}}
{{- .Values.storePrefix | default (printf "%s-%s" .Release.Namespace .Release.Name) -}}
{{- end -}}

{{/* The Secret with the drivers' token that the chart made up, or nothing: somebody gave one. */}}
{{- define "muster.madeSecret" -}}
{{- if and .Values.dispatch.enabled (not .Values.secret.existing) (not .Values.secret.dispatchSecret) -}}
{{- printf "%s-dispatch" (include "muster.fullname" .) -}}
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
mirrorToken: mirror-token
{{- end -}}

{{/* What has a value of its own must not come in by the side door. */}}
{{- define "muster.check" -}}
{{- $owned := list "http" "admin" "drain" "store" "postgres" "relay" "tracker" "dispatch-ports" "dispatch-bind" "dispatch-proxy" "store-prefix" "logs-sink" -}}
{{- $owned = concat $owned (values (include "muster.secretKeys" . | fromYaml)) -}}
{{- range $name, $value := .Values.settings -}}
{{- if has $name $owned -}}
{{- fail (printf "settings.%s: this one has a value of its own; see the chart's README" $name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.settings.workers -}}
{{- if ne (toString .) "1" -}}
{{- fail "settings.workers: a pod is one node; probes, metrics and the autoscaler see one. More nodes: node.replicas" -}}
{{- end -}}
{{- end -}}
{{- if and (include "muster.madeSecret" .) (not (include "muster.live" .)) -}}
{{- fail "secret.dispatchSecret: without a cluster to ask, each rendering would make up another token of drivers; set it, or use secret.existing, or dispatch.enabled=false" -}}
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
  value: {{ include "muster.text" $value | quote }}
{{- end }}
- name: MUSTER_STORE_PREFIX
  value: {{ include "muster.storePrefix" . | quote }}
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
- name: MUSTER_LOGS_SINK
  value: {{ ternary "on" "off" .Values.sink.enabled | quote }}
{{- range $key := values (include "muster.secretKeys" . | fromYaml) | sortAlpha }}
{{- $from := $secret }}
{{- if and (eq $key "dispatch-secret") (include "muster.madeSecret" $root) }}{{ $from = include "muster.madeSecret" $root }}{{ end }}
{{ include "muster.envSecret" (dict "key" $key "secret" $from "optional" true) }}
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
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where pods go: of = the values of node or sink, component = its label. */}}
{{- define "muster.placement" -}}
{{- $labels := printf "%s\napp.kubernetes.io/component: %s" (include "muster.selector" .root) .component | fromYaml -}}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy .of.affinity }}
{{- if and .of.zoneSpread (not (hasKey $affinity "podAntiAffinity")) }}
{{- $term := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" $labels) }}
{{- $one := dict "weight" 50 "podAffinityTerm" $term }}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $one)) }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .of.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .of.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - labelSelector:
      matchLabels:
        {{- toYaml $labels | nindent 8 }}
    # Counted among pods of one version: else those that are about to end push the new ones onto one machine.
    matchLabelKeys: [pod-template-hash]
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
{{- with .service.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with .service.externalIPs }}
externalIPs:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq .service.type "LoadBalancer" }}
{{- with .service.loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
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

{{/* Labels and annotations of a Service for clients: service = its values. */}}
{{- define "muster.serviceLabels" -}}
{{ include "muster.labels" .root }}
app.kubernetes.io/component: node
{{- with .service.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Who may ask the admin port. */}}
{{- define "muster.metricsFrom" -}}
- from:
    {{- range .Values.networkPolicy.metricsNamespaces }}
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ . }}}
    {{- end }}
    {{- if .Values.networkPolicy.metrics }}
    {{- toYaml .Values.networkPolicy.metrics | nindent 4 }}
    {{- else }}
    - podSelector: {}
    {{- end }}
  ports:
    - {port: metrics, protocol: TCP}
{{- end -}}

{{- define "muster.egressTo" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* What pods may reach: root, and component, by which PostgreSQL is for those only that speak to it. */}}
{{- define "muster.egress" -}}
{{- $egress := .root.Values.networkPolicy.egress -}}
egress:
  - ports:
      {{- range $egress.dnsPorts }}
      - {port: {{ . }}, protocol: UDP}
      - {port: {{ . }}, protocol: TCP}
      {{- end }}
    {{- with $egress.dns }}
    to:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- include "muster.egressTo" (dict "ports" $egress.storePorts "peers" $egress.store) | nindent 2 }}
  {{- if ne .component "node" }}
  {{- include "muster.egressTo" (dict "ports" $egress.postgresPorts "peers" $egress.postgres) | nindent 2 }}
  {{- end }}
  {{- if eq .component "test" }}
  - ports:
      - {port: http, protocol: TCP}
    to:
      - podSelector:
          matchLabels:
            {{- include "muster.selector" .root | nindent 12 }}
            app.kubernetes.io/component: node
  {{- end }}
  {{- with $egress.extra }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "introspectd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "introspectd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "introspectd.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "introspectd.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "introspectd.selector" -}}
app.kubernetes.io/name: {{ include "introspectd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The pod of the test: not one of the nodes, so that no Service takes it for one. */}}
{{- define "introspectd.testSelector" -}}
app.kubernetes.io/name: {{ include "introspectd.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "introspectd.labels" -}}
{{ include "introspectd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "introspectd.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "introspectd.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "introspectd.image" -}}
{{- $name := .Values.image.repository }}
{{- with default .Values.image.registry .Values.global.imageRegistry }}
{{- $name = printf "%s/%s" . $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The Secret that has the keys: one that is there, or the one that is made. */}}
{{- define "introspectd.keysSecret" -}}
{{- default (printf "%s-keys" (include "introspectd.fullname" .)) .Values.keys.existingSecret }}
{{- end }}

{{/* The fewest nodes that are meant to be there. */}}
{{- define "introspectd.fewest" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicaCount (or .Values.autoscaling.enabled .Values.keda.enabled) }}
{{- end }}

{{/* The seconds that the kubelet sleeps before it tells a node to end: none before Kubernetes 1.30, which does not know how. */}}
{{- define "introspectd.preStop" -}}
{{- ternary .Values.preStopSleepSeconds 0 (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) }}
{{- end }}

{{- define "introspectd.redisUrl" -}}
{{- if .Values.redis.url }}
{{- .Values.redis.url }}
{{- else if .Values.valkey.enabled }}
{{- printf "redis://%s-valkey:6379/0" (.Release.Name | trunc 50 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{/* The rule that lets a pod ask for names. */}}
{{- define "introspectd.dnsEgress" -}}
- ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - { protocol: UDP, port: {{ . }} }
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
  {{- with .Values.networkPolicy.dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The port of an address of Redis, with or without the scheme and whatever follows the port. */}}
{{- define "introspectd.redisPort" -}}
{{- $authority := regexReplaceAll "^[a-z]+://" . "" | regexFind "^[^/?#]*" }}
{{- regexFind ":[0-9]+$" $authority | trimPrefix ":" | default "6379" }}
{{- end }}

{{/* Every port that Redis may be on, as JSON: those that are listed, and those of the addresses that are known here. */}}
{{- define "introspectd.redisPorts" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.redis.ports }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- range concat (list (include "introspectd.redisUrl" .)) (dig "redis" "nodes" (list) .Values.config) }}
{{- with . }}
{{- $ports = append $ports (include "introspectd.redisPort" . | atoi) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{- define "introspectd.adminScheme" -}}
{{- ternary "https" "http" (not (empty .Values.tls.admin.existingSecret)) }}
{{- end }}

{{/* Where Secrets are mounted. Files, not variables: those show up in more places, and cannot be replaced. */}}
{{- define "introspectd.secrets" -}}
/run/secrets/introspectd
{{- end }}

{{/* A duration of `config.drain` in microseconds. The service takes no more than an hour there. */}}
{{- define "introspectd.microseconds" -}}
{{- $digits := regexFind "^[0-9]+" . }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $units := dict "us" 1 "ms" 1000 "s" 1000000 "m" 60000000 "h" 3600000000 "d" 86400000000 }}
{{- if not (hasKey $units $unit) }}
{{- fail (printf "config.drain: %s needs a unit: us, ms, s, m, h or d" .) }}
{{- end }}
{{- /* More digits than an hour has in microseconds would not fit into the product. */}}
{{- $significant := regexReplaceAll "^0+" $digits "" }}
{{- $length := 0 }}
{{- if le (len $significant) 10 }}
{{- $length = mul (atoi $digits) (get $units $unit | int64) }}
{{- end }}
{{- if or (gt (len $significant) 10) (gt (int64 $length) (int64 3600000000)) }}
{{- fail (printf "config.drain: %s is longer than 1h" .) }}
{{- end }}
{{- $length }}
{{- end }}

{{/* The same in whole seconds, rounded up. */}}
{{- define "introspectd.seconds" -}}
{{- div (add (include "introspectd.microseconds" . | int64) 999999) 1000000 }}
{{- end }}

{{/* The labels by which Prometheus knows what the chart has it scrape, but for those that somebody has it write anew. */}}
{{- define "introspectd.scraped" -}}
{{- $monitor := ternary .Values.serviceMonitor .Values.podMonitor .Values.serviceMonitor.enabled }}
{{- if $monitor.enabled }}
{{- $job := printf "%s/%s" .Release.Namespace (include "introspectd.fullname" .) }}
{{- if .Values.serviceMonitor.enabled }}
{{- $job = printf "%s-metrics" (include "introspectd.fullname" .) }}
{{- end }}
{{- $labels := dict "namespace" .Release.Namespace "job" $job }}
{{- range concat $monitor.relabelings $monitor.metricRelabelings }}
{{- $labels = omit $labels (get . "targetLabel") }}
{{- end }}
{{- $matchers := list }}
{{- range $name, $value := $labels }}
{{- $matchers = append $matchers (printf "%s=%q" $name $value) }}
{{- end }}
{{- with $matchers }}
{{- printf "{%s}" (join "," .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* One request, and done. */}}
{{- define "introspectd.testResources" -}}
requests: { cpu: 10m, memory: 32Mi, ephemeral-storage: 1Mi }
limits: { memory: 64Mi, ephemeral-storage: 16Mi }
{{- end }}

{{/* What would only fail once it runs is said before it is installed. */}}
{{- define "introspectd.check" -}}
{{- if not (or .Values.existingConfigMap (dig "issuer" "" .Values.config)) }}
{{- fail "config.issuer must be set: tokens carry it, and no node knows its own public address" }}
{{- end }}
{{- if not (or .Values.redis.url .Values.redis.existingSecret .Values.valkey.enabled) }}
{{- fail "redis.url or redis.existingSecret must be set: the nodes keep nothing of their own" }}
{{- end }}
{{- if and .Values.redis.url .Values.redis.existingSecret }}
{{- fail "redis.url and redis.existingSecret exclude each other" }}
{{- end }}
{{- if and .Values.valkey.enabled (or .Values.redis.url .Values.redis.existingSecret) }}
{{- fail "valkey.enabled excludes redis.url and redis.existingSecret" }}
{{- end }}
{{- if not (or .Values.keys.existingSecret .Values.keys.create) }}
{{- fail "keys.existingSecret must be set: every node needs the same keys" }}
{{- end }}
{{- if and .Values.keys.existingSecret .Values.keys.create }}
{{- fail "keys.existingSecret and keys.create exclude each other" }}
{{- end }}
{{- if .Values.keys.create }}
{{- range .Values.keys.digest }}
{{- if not (get $.Values.keys.values .secretKey) }}
{{- fail (printf "keys.values has no %s, which keys.digest names" .secretKey) }}
{{- end }}
{{- end }}
{{- end }}
{{- if not (or .Values.adminInsecure .Values.tls.admin.existingSecret) }}
{{- fail "the admin listener needs tls.admin.existingSecret, or adminInsecure" }}
{{- end }}
{{- if eq (int .Values.ports.public) (int .Values.ports.admin) }}
{{- fail "ports.public and ports.admin must differ" }}
{{- end }}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled }}
{{- fail "autoscaling.enabled and keda.enabled exclude each other: KEDA makes a HorizontalPodAutoscaler of its own" }}
{{- end }}
{{- if and .Values.keda.enabled (not .Values.keda.triggers) }}
{{- fail "keda.triggers must be set: without any, nothing says how many nodes there should be" }}
{{- end }}
{{- if and (or .Values.autoscaling.enabled .Values.keda.enabled) (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas must not be less than autoscaling.minReplicas" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs must name a Gateway" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts must name a host" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "serviceMonitor.enabled needs metrics.service.enabled" }}
{{- end }}
{{- $ids := list }}
{{- range .Values.keys.digest }}
{{- if has .id $ids }}
{{- fail (printf "keys.digest has two keys of the id %s" .id) }}
{{- end }}
{{- $ids = append $ids .id }}
{{- end }}
{{- with .Values.keys.active }}
{{- if not (has . $ids) }}
{{- fail (printf "keys.active names %s, which keys.digest does not have" .) }}
{{- end }}
{{- end }}
{{- include "introspectd.checkLabels" . }}
{{- $least := dig "drain" "min" "5s" .Values.config }}
{{- $most := dig "drain" "max" "30s" .Values.config }}
{{- if gt (include "introspectd.microseconds" $least | int64) (include "introspectd.microseconds" $most | int64) }}
{{- fail (printf "config.drain.min (%s) must not be longer than config.drain.max (%s)" $least $most) }}
{{- end }}
{{- $drain := include "introspectd.seconds" $most | int }}
{{- $sleep := include "introspectd.preStop" . | int }}
{{- if le (int .Values.terminationGracePeriodSeconds) (add $sleep $drain | int) }}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be longer than preStopSleepSeconds (%d) and config.drain.max (%d s) together" (int .Values.terminationGracePeriodSeconds) $sleep $drain) }}
{{- end }}
{{- include "introspectd.checkRedis" . }}
{{- include "introspectd.checkKubernetes" . }}
{{- end }}

{{/* The configuration file: `config`, and what the chart knows better. */}}
{{- define "introspectd.config" -}}
{{- $secrets := include "introspectd.secrets" . }}
{{- $public := dict "address" (printf "0.0.0.0:%d" (int .Values.ports.public)) }}
{{- if .Values.tls.public.existingSecret }}
{{- $_ := set $public "tls_certificate_file" (printf "%s/tls-public/tls.crt" $secrets) }}
{{- $_ := set $public "tls_key_file" (printf "%s/tls-public/tls.key" $secrets) }}
{{- end }}
{{- $admin := dict "address" (printf "0.0.0.0:%d" (int .Values.ports.admin)) }}
{{- if .Values.tls.admin.existingSecret }}
{{- $_ := set $admin "tls_certificate_file" (printf "%s/tls-admin/tls.crt" $secrets) }}
{{- $_ := set $admin "tls_key_file" (printf "%s/tls-admin/tls.key" $secrets) }}
{{- else }}
{{- $_ := set $admin "insecure" .Values.adminInsecure }}
{{- end }}
{{- $redis := dict }}
{{- if .Values.redis.existingSecret }}
{{- $_ := set $redis "url_file" (printf "%s/redis/url" $secrets) }}
{{- else }}
{{- $_ := set $redis "url" (include "introspectd.redisUrl" .) }}
{{- end }}
{{- if .Values.redis.caExistingSecret }}
{{- $_ := set $redis "ca_file" (printf "%s/redis-ca/ca.crt" $secrets) }}
{{- end }}
{{- $digest := list }}
{{- range .Values.keys.digest }}
{{- $digest = append $digest (dict "id" .id "secret_file" (printf "%s/keys/%s" $secrets .id)) }}
{{- end }}
{{- $keys := dict "digest" $digest }}
{{- with .Values.keys.active }}
{{- $_ := set $keys "active" . }}
{{- end }}
{{- $own := dict "public" $public "admin" $admin "redis" $redis "keys" $keys }}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{/* The name of everything: the release's, with the chart's where that does not stand in it. */}}
{{- define "tutti.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What finds the pods of one kind. Takes a list: the root, the kind. */}}
{{- define "tutti.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The labels of one kind. Takes a list: the root, the kind. */}}
{{- define "tutti.labels" -}}
{{- $root := index . 0 -}}
{{ include "tutti.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | quote }}
{{- end -}}

{{/* Names of the Service inside the cluster, then those of outside. */}}
{{- define "tutti.hosts" -}}
{{- $name := include "tutti.fullname" . -}}
{{- $inside := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) -}}
{{- concat $inside .Values.hosts | join "," -}}
{{- end -}}

{{/* A Deployment of one kind. Takes a list: the root, the kind, its values. */}}
{{- define "tutti.deployment" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $own := index . 2 -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "tutti.fullname" $root }}-{{ $kind }}
  labels:
    {{- include "tutti.labels" (list $root $kind) | nindent 4 }}
spec:
  replicas: {{ $own.replicas }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "tutti.selector" (list $root $kind) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "tutti.labels" (list $root $kind) | nindent 8 }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "tutti.selector" (list $root $kind) | nindent 14 }}
      containers:
        - name: tutti
          image: {{ printf "%s:%s" $root.Values.image.repository ($root.Values.image.tag | default $root.Chart.AppVersion) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: ["serve", "--role", {{ $kind | quote }}]
          env:
            {{- include "tutti.environment" $root | nindent 12 }}
          envFrom:
            - secretRef:
                name: {{ $root.Values.existingSecret | quote }}
          ports:
            - name: http
              containerPort: 8000
          startupProbe:
            httpGet:
              path: /health/live
              port: http
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /health/live
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /health/ready
              port: http
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          {{- if gt (int $root.Values.preStopSeconds) 0 }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ $root.Values.preStopSeconds }}
          {{- end }}
          resources:
            {{- toYaml $own.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: ["ALL"]
          volumeMounts:
            - name: data
              mountPath: /data
            - name: scratch
              mountPath: /tmp
      volumes:
        - name: data
          {{- toYaml $root.Values.dataVolume | nindent 10 }}
        - name: scratch
          emptyDir: {}
      {{- with $root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{/* A bound on how many pods of one kind may be away. Takes a list: the root, the kind. */}}
{{- define "tutti.disruption" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "tutti.fullname" $root }}-{{ $kind }}
  labels:
    {{- include "tutti.labels" (list $root $kind) | nindent 4 }}
spec:
  minAvailable: {{ $root.Values.podDisruptionBudget.minAvailable }}
  selector:
    matchLabels:
      {{- include "tutti.selector" (list $root $kind) | nindent 6 }}
{{- end -}}

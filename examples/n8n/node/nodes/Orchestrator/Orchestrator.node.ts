import {
	NodeConnectionTypes,
	NodeOperationError,
	type IDataObject,
	type IExecuteFunctions,
	type IHttpRequestOptions,
	type INodeExecutionData,
	type INodeType,
	type INodeTypeDescription,
} from 'n8n-workflow';

/** Maximum seconds of one call that waits, because a proxy may close calls after 120 s. */
const WAIT_SECONDS = 110;

type Operation = 'submit' | 'wait' | 'status' | 'results' | 'approve';

export class Orchestrator implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Orchestrator',
		name: 'orchestrator',
		icon: 'file:orchestrator.svg',
		group: ['transform'],
		version: 1,
		subtitle: '={{$parameter["operation"]}}',
		description: 'Submit jobs to AI agents, wait for them, and approve them',
		defaults: { name: 'Orchestrator' },
		usableAsTool: true,
		inputs: [NodeConnectionTypes.Main],
		outputs: [NodeConnectionTypes.Main],
		credentials: [{ name: 'orchestratorApi', required: true }],
		properties: [
			{
				displayName: 'Operation',
				name: 'operation',
				type: 'options',
				noDataExpression: true,
				default: 'submit',
				options: [
					{
						name: 'Approve',
						value: 'approve',
						action: 'Approve or reject a job or a task',
						description: 'Approve or reject the plan of a job, or the question of a task',
					},
					{
						name: 'Get Results',
						value: 'results',
						action: 'Get the results of a job',
						description: 'Get the results of the tasks of a job',
					},
					{
						name: 'Get Status',
						value: 'status',
						action: 'Get the status of a job',
						description: 'Get the status and the progress of a job',
					},
					{
						name: 'Submit',
						value: 'submit',
						action: 'Submit a job',
						description: 'Start a job, and continue at once',
					},
					{
						name: 'Wait',
						value: 'wait',
						action: 'Wait for the end of a job',
						description: 'Wait for the end of a job, and return its status and results',
					},
				],
			},
			{
				displayName: 'Request',
				name: 'request',
				type: 'string',
				typeOptions: { rows: 4 },
				default: '',
				required: true,
				description: 'Description of the work',
				displayOptions: { show: { operation: ['submit'] } },
			},
			{
				displayName: 'Options',
				name: 'options',
				type: 'collection',
				placeholder: 'Add option',
				default: {},
				displayOptions: { show: { operation: ['submit'] } },
				options: [
					{
						displayName: 'Callback Events',
						name: 'callbackEvents',
						type: 'multiOptions',
						default: ['job_ended'],
						options: [
							{ name: 'Job Ended', value: 'job_ended' },
							{ name: 'Job Landed', value: 'job_landed' },
							{ name: 'Job Needs You', value: 'needs_you' },
							{ name: 'Job Started', value: 'job_started' },
						],
					},
					{
						displayName: 'Callback URL',
						name: 'callbackUrl',
						type: 'string',
						default: '={{ $execution.resumeUrl }}',
						description: 'Address that gets a message when the job ends, for a Wait node that follows',
					},
					{
						displayName: 'Idempotency Key',
						name: 'idempotencyKey',
						type: 'string',
						default: '={{ $execution.id }}-{{ $itemIndex }}',
						description: 'A repeated submission with the same key returns the existing job',
					},
					{
						displayName: 'Settings',
						name: 'config',
						type: 'json',
						default: '{ "agent": "auto" }',
						description: 'Settings of the job, such as agent, gates, or max_cost_usd',
					},
					{
						displayName: 'Tasks',
						name: 'tasks',
						type: 'json',
						default: '[]',
						description: 'Tasks as in a plan file; if empty, the request is split into tasks',
					},
				],
			},
			{
				displayName: 'Job ID',
				name: 'jobId',
				type: 'string',
				default: '={{ $json.job_id }}',
				required: true,
				displayOptions: { show: { operation: ['wait', 'status', 'results', 'approve'] } },
			},
			{
				displayName: 'Maximum Wait',
				name: 'maxWait',
				type: 'number',
				typeOptions: { minValue: 1 },
				default: 3600,
				description: 'Maximum seconds to wait; then the node fails. For long jobs, use a callback URL and a Wait node.',
				displayOptions: { show: { operation: ['wait'] } },
			},
			{
				displayName: 'Decision',
				name: 'decision',
				type: 'options',
				default: 'approve',
				options: [
					{ name: 'Approve', value: 'approve' },
					{ name: 'Reject', value: 'reject' },
				],
				displayOptions: { show: { operation: ['approve'] } },
			},
			{
				displayName: 'Task ID',
				name: 'taskId',
				type: 'string',
				default: '',
				description: 'Task whose question is answered; empty: the plan of the job',
				displayOptions: { show: { operation: ['approve'] } },
			},
			{
				displayName: 'Comment',
				name: 'comment',
				type: 'string',
				default: '',
				displayOptions: { show: { operation: ['approve'] } },
			},
		],
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		const results: INodeExecutionData[] = [];
		for (let item = 0; item < this.getInputData().length; item++) {
			try {
				const json = await runOperation.call(this, item);
				results.push({ json, pairedItem: { item } });
			} catch (error) {
				if (!this.continueOnFail()) {
					throw new NodeOperationError(this.getNode(), error as Error, { itemIndex: item });
				}
				results.push({ json: { error: (error as Error).message }, pairedItem: { item } });
			}
		}
		return [results];
	}
}

async function runOperation(this: IExecuteFunctions, item: number): Promise<IDataObject> {
	const operation = this.getNodeParameter('operation', item) as Operation;
	if (operation === 'submit') return await submit.call(this, item);
	const jobId = encodeURIComponent(this.getNodeParameter('jobId', item) as string);
	const job = `/api/v1/jobs/${jobId}`;
	if (operation === 'wait') return await wait.call(this, item, job);
	if (operation === 'approve') return await decide.call(this, item, job);
	return await call.call(this, { url: `${job}/${operation}` });
}

async function submit(this: IExecuteFunctions, item: number): Promise<IDataObject> {
	const options = this.getNodeParameter('options', item, {}) as IDataObject;
	const body: IDataObject = { request: this.getNodeParameter('request', item) as string };
	const tasks = parsed(options.tasks) as unknown[] | undefined;
	if (tasks?.length) body.tasks = tasks as IDataObject[];
	if (options.config) body.config = parsed(options.config) as IDataObject;
	if (options.callbackUrl) {
		body.callback_url = options.callbackUrl;
		if (options.callbackEvents) body.callback_events = options.callbackEvents;
	}
	const headers = options.idempotencyKey
		? { 'Idempotency-Key': options.idempotencyKey as string }
		: undefined;
	return await call.call(this, { method: 'POST', url: '/api/v1/orchestrate', body, headers });
}

async function wait(this: IExecuteFunctions, item: number, job: string): Promise<IDataObject> {
	let remainingSeconds = this.getNodeParameter('maxWait', item) as number;
	for (;;) {
		const timeout = Math.min(Math.ceil(remainingSeconds), WAIT_SECONDS);
		const started = Date.now();
		const url = `${job}/wait`;
		const answer = await call.call(this, { url, qs: { timeout }, timeout: (timeout + 30) * 1000 });
		if (!answer.timed_out) return answer;
		remainingSeconds -= Math.max((Date.now() - started) / 1000, 0.1);
		if (remainingSeconds <= 0) {
			throw new NodeOperationError(this.getNode(), `The job has not ended after Maximum Wait (status: ${answer.status})`, {
				itemIndex: item,
				description: 'Raise Maximum Wait, or use a callback URL and a Wait node',
			});
		}
	}
}

async function decide(this: IExecuteFunctions, item: number, job: string): Promise<IDataObject> {
	const task = this.getNodeParameter('taskId', item) as string;
	const path = task ? `${job}/tasks/${encodeURIComponent(task)}` : job;
	const decision = this.getNodeParameter('decision', item) as string;
	const body = { comment: this.getNodeParameter('comment', item) as string };
	return await call.call(this, { method: 'POST', url: `${path}/${decision}`, body });
}

async function call(this: IExecuteFunctions, request: IHttpRequestOptions): Promise<IDataObject> {
	const { url } = await this.getCredentials<{ url: string }>('orchestratorApi');
	return (await this.helpers.httpRequestWithAuthentication.call(this, 'orchestratorApi', {
		baseURL: url.replace(/\/+$/, ''),
		json: true,
		...request,
	})) as IDataObject;
}

function parsed(value: unknown): unknown {
	return typeof value === 'string' && value.trim() ? JSON.parse(value) : value || undefined;
}

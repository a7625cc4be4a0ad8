import { createHmac, timingSafeEqual } from 'node:crypto';
import {
	NodeConnectionTypes,
	type IDataObject,
	type IHookFunctions,
	type INodeType,
	type INodeTypeDescription,
	type IWebhookFunctions,
	type IWebhookResponseData,
} from 'n8n-workflow';

/** Maximum age of a message, in seconds. */
const TOLERANCE_SECONDS = 300;

export class OrchestratorTrigger implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Orchestrator Trigger',
		name: 'orchestratorTrigger',
		icon: 'file:orchestrator.svg',
		group: ['trigger'],
		version: 1,
		subtitle: '={{$parameter["events"].join(", ")}}',
		description: 'Starts the workflow when a job ends, or needs a person',
		defaults: { name: 'Job Ended' },
		inputs: [],
		outputs: [NodeConnectionTypes.Main],
		credentials: [{ name: 'orchestratorApi', required: true }],
		webhooks: [
			{ name: 'default', httpMethod: 'POST', responseMode: 'onReceived', path: 'orchestrator' },
		],
		properties: [
			{
				displayName:
					'Add the production URL of this node to webhooks.endpoints in config.yaml of the server, or pass the URL as Callback URL of a job. Write the secret of the endpoint into the credential.',
				name: 'notice',
				type: 'notice',
				default: '',
			},
			{
				displayName: 'Events',
				name: 'events',
				type: 'multiOptions',
				default: ['job.ended'],
				options: [
					{ name: 'Job Ended', value: 'job.ended' },
					{ name: 'Job Landed', value: 'job.landed' },
					{ name: 'Job Needs You', value: 'job.needs_you' },
					{ name: 'Job Started', value: 'job.started' },
				],
			},
			{
				displayName: 'Statuses',
				name: 'statuses',
				type: 'multiOptions',
				default: [],
				description: 'Statuses of ended jobs; empty: all',
				options: [
					{ name: 'Cancelled', value: 'cancelled' },
					{ name: 'Completed', value: 'completed' },
					{ name: 'Failed', value: 'failed' },
					{ name: 'Partial', value: 'partial' },
				],
			},
		],
	};

	// n8n registers nothing when a workflow starts, because config.yaml of the server lists the endpoints.
	webhookMethods = {
		default: {
			async checkExists(this: IHookFunctions): Promise<boolean> {
				return true;
			},
			async create(this: IHookFunctions): Promise<boolean> {
				return true;
			},
			async delete(this: IHookFunctions): Promise<boolean> {
				return true;
			},
		},
	};

	async webhook(this: IWebhookFunctions): Promise<IWebhookResponseData> {
		const { webhookSecret } = await this.getCredentials<{ webhookSecret?: string }>('orchestratorApi');
		const request = this.getRequestObject();
		const headers = this.getHeaderData() as Record<string, string | undefined>;
		if (webhookSecret && !isVerified(webhookSecret, headers, request.rawBody ?? Buffer.from(''))) {
			this.getResponseObject().status(401).json({ message: 'Invalid signature: the secret differs from the credential, or the message is too old' });
			return { noWebhookResponse: true };
		}
		const body = this.getBodyData();
		const events = this.getNodeParameter('events') as string[];
		const statuses = this.getNodeParameter('statuses') as string[];
		const data = (body.data ?? {}) as IDataObject;
		const isWanted =
			(!events.length || events.includes(body.type as string)) &&
			(!statuses.length || statuses.includes(data.status as string));
		if (!isWanted) return { webhookResponse: { status: 'ignored' } };
		return { workflowData: [[{ json: { ...data, type: body.type, timestamp: body.timestamp } }]] };
	}
}

/** True if the message is signed with the secret (Standard Webhooks), and at most TOLERANCE_SECONDS old. */
function isVerified(
	secret: string,
	headers: Record<string, string | undefined>,
	body: Buffer,
): boolean {
	const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
	const at = headers['webhook-timestamp'] ?? '';
	if (Math.abs(Date.now() / 1000 - Number(at)) > TOLERANCE_SECONDS) return false;
	const signed = createHmac('sha256', key)
		.update(`${headers['webhook-id'] ?? ''}.${at}.`)
		.update(body)
		.digest();
	return (headers['webhook-signature'] ?? '').split(' ').some((each) => {
		const signature = Buffer.from(each.replace(/^v1,/, ''), 'base64');
		return signature.length === signed.length && timingSafeEqual(signature, signed);
	});
}

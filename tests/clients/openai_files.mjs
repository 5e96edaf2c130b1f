// The openai package for JavaScript: files that are sent, files that are given. One JSON line each.
import OpenAI from 'openai';

const { url, token, image, file, given } = JSON.parse(process.argv[2]);
const defaultHeaders = { Connection: 'close' };
const clientOf = (base) => new OpenAI({ baseURL: `${base}/v1`, apiKey: token, defaultHeaders, maxRetries: 0 });
const model = 'any';
const client = clientOf(url);
const giving = clientOf(given);
const give = [{ role: 'user', content: 'give' }];

const saved = async (link) => {
  const response = await fetch(link, { headers: { Authorization: `Bearer ${token}` } });
  return response.text();
};
const cited = (text, { start_index: start, end_index: end }) => text.slice(start, end).split('](')[0];

const CASES = {
  async chat() {
    const content = [
      { type: 'text', text: 'What is it?' },
      { type: 'image_url', image_url: { url: image } },
      { type: 'file', file: { filename: 'a.pdf', file_data: file } },
    ];
    const made = await client.chat.completions.create({ model, messages: [{ role: 'user', content }] });
    return made.choices[0].message.content;
  },
  async responses() {
    const content = [
      { type: 'input_text', text: 'What is it?' },
      { type: 'input_image', image_url: image, detail: 'auto' },
      { type: 'input_file', filename: 'a.pdf', file_data: file },
    ];
    const made = await client.responses.create({ model, input: [{ role: 'user', content }] });
    return made.output_text;
  },
  async refused() {
    const content = [{ type: 'input_image', image_url: image.replace('png', 'jpeg'), detail: 'auto' }];
    try {
      await client.responses.create({ model, input: [{ role: 'user', content }] });
    } catch (error) {
      return [error.constructor.name, error.param];
    }
    return null;
  },
  async givenInChat() {
    const made = await giving.chat.completions.create({ model, messages: give });
    const { content, annotations } = made.choices[0].message;
    const places = annotations.map((one) => cited(content, one.url_citation));
    return [places, await saved(annotations[0].url_citation.url)];
  },
  async givenInStream() {
    const stream = giving.chat.completions.stream({ model, messages: give });
    const { content } = (await stream.finalChatCompletion()).choices[0].message;
    return [...content.matchAll(/\[(.*?)\]\(http/g)].map((found) => found[1]);
  },
  async givenInResponse() {
    const stream = giving.responses.stream({ model, input: give });
    const added = [];
    stream.on('response.output_text.annotation.added', (event) => added.push(event.annotation.title));
    const { text, annotations } = (await stream.finalResponse()).output[0].content[0];
    return [added, annotations.map((one) => cited(text, one)), await saved(annotations[0].url)];
  },
};

for (const [name, run] of Object.entries(CASES)) {
  console.log(JSON.stringify({ name, outcome: await run() }));
}
